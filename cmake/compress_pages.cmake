# Run by cpack between the files and the packages: manual pages as Debian has them.
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/paceline*.1)
list(FILTER pages INCLUDE REGEX "/share/man/man1/")
foreach(page IN LISTS pages)
    execute_process(COMMAND gzip -9nf ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
