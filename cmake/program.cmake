# The program paceline: with the server, its pages and all commands, or what needs none of it.
if(PACELINE_SERVER)
    # What browsers are shown, bundled by esbuild and embedded: the report page's script and style,
    # and the chat page.
    set(WEB ${PROJECT_SOURCE_DIR}/web)
    set(PAGE ${PROJECT_BINARY_DIR}/page)
    file(GLOB page_sources CONFIGURE_DEPENDS ${WEB}/page/*)
    add_custom_command(OUTPUT ${WEB}/node_modules/.package-lock.json
        COMMAND ${NPM} ci --silent --no-audit --no-fund
        WORKING_DIRECTORY ${WEB} DEPENDS ${WEB}/package.json ${WEB}/package-lock.json
        COMMENT "Installing what bundles pages" VERBATIM)
    add_custom_command(OUTPUT ${PAGE}/report.js ${PAGE}/report.css
        COMMAND ${NPM} run --silent build -- --log-level=warning --outdir=${PAGE}
        WORKING_DIRECTORY ${WEB}
        DEPENDS ${WEB}/report.js ${WEB}/report.css ${WEB}/node_modules/.package-lock.json
        COMMENT "Bundling the report page" VERBATIM)
    add_custom_command(OUTPUT ${PAGE}/page.html ${PAGE}/page.gz ${PAGE}/page.br ${PAGE}/page.policy
                              ${PAGE}/page.etag
        COMMAND ${NPM} run --silent page -- ${PAGE}
        WORKING_DIRECTORY ${WEB} DEPENDS ${page_sources} ${WEB}/node_modules/.package-lock.json
        COMMENT "Bundling the chat page" VERBATIM)

    layer(pl_server "server;server/*" pl_engine PkgConfig::JANSSON PkgConfig::MICROHTTPD)
    embed(pl_server openapi_json ${PROJECT_SOURCE_DIR}/docs/openapi.json)
    foreach(part html gz br policy etag)
        embed(pl_server page_${part} ${PAGE}/page.${part})
    endforeach()

    layer(pl_cli "cli;cli/*" pl_server pl_estimate PkgConfig::JANSSON PkgConfig::CURL
          PkgConfig::GNUTLS PkgConfig::NCURSESW ${EDIT})
    target_include_directories(pl_cli PRIVATE ${EDIT_INCLUDE})
    target_compile_definitions(pl_cli PRIVATE PACELINE_HAS_SERVER)
    embed(pl_cli report_js ${PAGE}/report.js)
    embed(pl_cli report_css ${PAGE}/report.css)
else()
    layer(pl_cli "cli;cli/models;cli/plan;cli/self_test" pl_engine pl_estimate PkgConfig::JANSSON)
endif()

# What --version --build-info says of it. A release names its source, other builds cannot know it.
set(PACELINE_SOURCE_ID "" CACHE STRING "The commit or tag that is built, where a release is")
set(source_id "not a release: built in a working tree")
if(PACELINE_SOURCE_ID)
    set(source_id "${PACELINE_SOURCE_ID}")
endif()
set(compiler "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}")
set_source_files_properties(src/cli/build_info.c PROPERTIES COMPILE_DEFINITIONS
    "PACELINE_SOURCE_ID=\"${source_id}\";PACELINE_COMPILER=\"${compiler}\"")

if(APPLE)
    target_link_libraries(pl_cli PUBLIC "-framework IOKit" "-framework CoreFoundation")
endif()

add_executable(paceline src/cli/main.c)
target_link_libraries(paceline PRIVATE pl_cli)
install(TARGETS paceline COMPONENT program)
install(CODE "execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/install_pages.sh
    $<TARGET_FILE:paceline> \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX} COMMAND_ERROR_IS_FATAL ANY)"
    COMPONENT program)
