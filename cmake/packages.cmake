# Debian packages: the program with its service, the library, and what is built with it.
#
#   cpack -G DEB --config build/release/CPackConfig.cmake
#
# What they hold beside what `cmake --install` leaves is excluded from that.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME paceline)
set(CPACK_PACKAGE_VENDOR "paceline authors")
set(maintainer "paceline authors <maintainers@paceline.invalid>")
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL program library development)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/compress_pages.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME paceline)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "Serves many parallel streams of one language model
One process runs many parallel generations of one LLM as fast as the machine
allows: a server that clients of OpenAI, Anthropic, Ollama and llama-server
use as they are, a planner and a benchmark, for GGUF files.

The service paceline.service runs once /etc/default/paceline names a model.")
set(debian ${PROJECT_SOURCE_DIR}/deploy/debian)
file(WRITE ${PROJECT_BINARY_DIR}/debian/conffiles "/etc/default/paceline\n")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_CONTROL_EXTRA ${debian}/postinst;${debian}/prerm;${debian}/postrm
    ${PROJECT_BINARY_DIR}/debian/conffiles)

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libpaceline${abi})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/deploy/debian/triggers)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "Parallel generations of one language model, shared library
The engine of paceline for other programs: one model, one batch, as many
streams as there are slots, behind one C header.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libpaceline-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libpaceline${abi} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}), libpcre2-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Parallel generations of one language model, development
The header, the archive, and what pkg-config and CMake find the library of
paceline by.")

# ---- what a package of Debian has beside ------------------------------------------------------

set(version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)    # SOURCE_DATE_EPOCH, where it is set
configure_file(deploy/debian/changelog.in ${PROJECT_BINARY_DIR}/debian/changelog @ONLY)
file(STRINGS LICENSE lines)
list(SUBLIST lines 3 -1 lines)
set(licence "")
foreach(line IN LISTS lines)
    if(line STREQUAL "")
        set(line .)
    endif()
    string(APPEND licence " ${line}\n")
endforeach()
string(REGEX REPLACE "^( \\.\n)+" "" licence "${licence}")
configure_file(deploy/debian/copyright.in ${PROJECT_BINARY_DIR}/debian/copyright @ONLY)
find_program(GZIP gzip REQUIRED)
foreach(name changelog upstream)
    set(from ${PROJECT_BINARY_DIR}/debian/changelog)
    if(name STREQUAL upstream)
        set(from ${PROJECT_SOURCE_DIR}/CHANGELOG.md)
    endif()
    execute_process(COMMAND ${GZIP} -9nc ${from} OUTPUT_FILE ${PROJECT_BINARY_DIR}/debian/${name}.gz
                    COMMAND_ERROR_IS_FATAL ANY)
endforeach()

foreach(pair program:paceline library:libpaceline${abi} development:libpaceline-dev)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 component)
    list(GET pair 1 name)
    set(overrides ${debian}/overrides/${name})
    if(component STREQUAL library)
        set(overrides ${PROJECT_BINARY_DIR}/debian/${name})
        configure_file(${debian}/overrides/library.in ${overrides} @ONLY)
    endif()
    install(FILES ${overrides} DESTINATION share/lintian/overrides COMPONENT ${component}
            EXCLUDE_FROM_ALL)
    install(FILES ${PROJECT_BINARY_DIR}/debian/copyright DESTINATION share/doc/${name}
            COMPONENT ${component} EXCLUDE_FROM_ALL)
    install(FILES ${PROJECT_BINARY_DIR}/debian/changelog.gz DESTINATION share/doc/${name}
            RENAME changelog.Debian.gz COMPONENT ${component} EXCLUDE_FROM_ALL)
    install(FILES ${PROJECT_BINARY_DIR}/debian/upstream.gz DESTINATION share/doc/${name}
            RENAME changelog.gz COMPONENT ${component} EXCLUDE_FROM_ALL)
endforeach()
install(FILES deploy/systemd/paceline.service DESTINATION lib/systemd/system COMPONENT program
        EXCLUDE_FROM_ALL)
install(FILES deploy/debian/sysusers.conf DESTINATION lib/sysusers.d RENAME paceline.conf
        COMPONENT program EXCLUDE_FROM_ALL)
install(FILES deploy/debian/default DESTINATION /etc/default RENAME paceline COMPONENT program
        EXCLUDE_FROM_ALL)
include(CPack)
