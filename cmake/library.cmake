# libpaceline: the layers below the server and the Rust shim in one shared library, and in one
# archive; what other programs find them by; and where all of it is installed. Both are made of the
# layers' own objects, and export what cmake/paceline.map lists: nothing else of ours or of Rust's
# is seen, so that no name of theirs meets one of the program they are linked into.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(map ${PROJECT_SOURCE_DIR}/cmake/paceline.map)
file(STRINGS ${map} symbols REGEX "^ *pl_")
list(TRANSFORM symbols REPLACE "[ ;]" "")
if(APPLE)
    list(TRANSFORM symbols PREPEND _)
endif()
list(JOIN symbols "\n" symbols)
set(exported ${PROJECT_BINARY_DIR}/exported_symbols.txt)
file(CONFIGURE OUTPUT ${exported} CONTENT "@symbols@\n" @ONLY)

set(objects "")
foreach(part base quant gguf tokenizer text pack cpu exact metal cuda backend model engine)
    if(TARGET pl_${part})
        list(APPEND objects $<TARGET_OBJECTS:pl_${part}>)
    endif()
endforeach()

# Before 1.0 a new second number is a new interface; from 1.0 on a new first one.
set(abi ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
if(PROJECT_VERSION_MAJOR GREATER 0)
    set(abi ${PROJECT_VERSION_MAJOR})
endif()

add_library(paceline_shared SHARED ${objects})
add_library(paceline::paceline ALIAS paceline_shared)
set_target_properties(paceline_shared PROPERTIES OUTPUT_NAME paceline EXPORT_NAME paceline
    LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION ${abi} LINK_DEPENDS "${map};${exported}")
target_include_directories(paceline_shared PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(paceline_shared PRIVATE ${RUST_LIB} PkgConfig::PCRE2
    Threads::Threads ${CMAKE_DL_LIBS} m)
if(APPLE)
    set(frameworks "-framework Foundation" "-framework Metal" "-framework CoreGraphics")
    target_link_libraries(paceline_shared PRIVATE ${frameworks})
    target_link_options(paceline_shared PRIVATE LINKER:-exported_symbols_list,${exported})
else()
    target_link_options(paceline_shared PRIVATE LINKER:--version-script=${map} LINKER:-z,defs
        LINKER:--gc-sections LINKER:--as-needed)
endif()

# The archive has one object, linked before, whose other names have become its own.
set(archive ${PROJECT_BINARY_DIR}/libpaceline.a)
set(whole ${PROJECT_BINARY_DIR}/libpaceline_whole.o)
if(APPLE)
    set(hide ${CMAKE_LINKER} -r -exported_symbols_list ${exported} -o ${whole}
        ${objects} ${RUST_LIB})
    set(rename true)
else()
    set(hide ${CMAKE_LINKER} -r -o ${whole} ${objects} ${RUST_LIB})
    # bitcode of Rust's own library, of which linkers with a plugin for it would make nothing
    set(rename ${CMAKE_OBJCOPY} --keep-global-symbols=${exported} --remove-section=.llvmbc
        --remove-section=.llvmcmd ${whole})
endif()
add_custom_command(OUTPUT ${archive}
    COMMAND ${hide}
    COMMAND ${rename}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} rcs ${archive} ${whole}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${whole}
    DEPENDS ${objects} ${RUST_LIB} rust_shim ${exported}
    COMMENT "Linking libpaceline.a" COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(paceline_archive ALL DEPENDS ${archive})
add_library(paceline_static INTERFACE)
add_library(paceline::static ALIAS paceline_static)
add_dependencies(paceline_static paceline_archive)
target_include_directories(paceline_static INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(paceline_static INTERFACE ${archive} PkgConfig::PCRE2
    Threads::Threads ${CMAKE_DL_LIBS} m ${frameworks})

# ---- what other programs find it by ----------------------------------------------------------

list(JOIN frameworks " " frameworks_line)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/paceline)
file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/paceline.pc.in ${PROJECT_BINARY_DIR}/paceline.pc @ONLY)
configure_package_config_file(cmake/paceline-config.cmake.in
    ${PROJECT_BINARY_DIR}/paceline-config.cmake INSTALL_DESTINATION ${package}
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/paceline-config-version.cmake
    COMPATIBILITY SameMinorVersion)

install(TARGETS paceline_shared EXPORT paceline
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
    NAMELINK_COMPONENT development)
install(EXPORT paceline NAMESPACE paceline:: FILE paceline-targets.cmake DESTINATION ${package}
    COMPONENT development)
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES include/paceline.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES ${PROJECT_BINARY_DIR}/paceline.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT development)
install(FILES ${PROJECT_BINARY_DIR}/paceline-config.cmake
    ${PROJECT_BINARY_DIR}/paceline-config-version.cmake DESTINATION ${package}
    COMPONENT development)
