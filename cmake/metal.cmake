# The Metal backend: on a Mac against Metal, with PACELINE_METAL_EMULATED on Linux against the mock
# GPU of tests/metal. The same sources: only who answers the Objective-C differs.
set(METAL ${PROJECT_SOURCE_DIR}/src/backend/metal)

# Kernels, in the order in which they use each other, as one string. tests/metal/macho/link.py reads
# these lists, too.
function(kernels name)
    list(TRANSFORM ARGN PREPEND ${METAL}/ OUTPUT_VARIABLE sources)
    add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/${name}.c
        COMMAND ${CMAKE_COMMAND} "-DIN=${sources}" -DOUT=${PROJECT_BINARY_DIR}/${name}.c
                -DNAME=${name} -DTEXT=ON -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${sources} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
endfunction()
kernels(metal_source ../kernel_words.h ../row_pick_args.h op_args.h common.metal products.metal
        vectors.metal attention.metal experts.metal tracks.metal sampling.metal probs.metal
        rates.metal)
# Of Metal 4, compiled by themselves
kernels(metal_tensor_source tensor_headers.metal ../kernel_words.h ../row_pick_args.h op_args.h
        common.metal tensors.metal)

layer(pl_metal backend/metal pl_pack pl_quant)
target_sources(pl_metal PRIVATE ${PROJECT_BINARY_DIR}/metal_source.c
                                ${PROJECT_BINARY_DIR}/metal_tensor_source.c)

if(APPLE)
    target_sources(pl_metal PRIVATE ${METAL}/device.m ${METAL}/commands.m)
    set_source_files_properties(${METAL}/device.m ${METAL}/commands.m PROPERTIES
        COMPILE_OPTIONS "-fno-objc-arc")
    # CoreGraphics: without it a command line program's MTLCreateSystemDefaultDevice returns nil,
    # says Apple's page of that function
    target_link_libraries(pl_metal PUBLIC "-framework Metal" "-framework Foundation"
                                          "-framework CoreGraphics")
else()
    find_program(CLANG_19 clang-19 REQUIRED)
    set(mock ${PROJECT_SOURCE_DIR}/tests/metal/mock)
    set(sdk ${PROJECT_BINARY_DIR}/metal-sdk)
    add_subdirectory(tests/metal/emulator)
    add_custom_command(OUTPUT ${sdk}/Metal/Metal.h
        COMMAND ${mock}/make_sdk.py ${sdk}
        DEPENDS ${mock}/make_sdk.py ${mock}/sdk/Cargo.toml ${mock}/sdk/Cargo.lock
        COMMENT "Generating Metal.h" VERBATIM)
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include
                    OUTPUT_VARIABLE gcc_include OUTPUT_STRIP_TRAILING_WHITESPACE)
    set(warnings -Wall -Wextra -Wshadow -Werror=objc-method-access)
    if(PACELINE_WERROR)
        list(APPEND warnings -Werror)
    endif()
    function(objective_c target name source)    # clang: gcc knows neither literals nor pools
        add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/${name}.o
            COMMAND ${CLANG_19} -fobjc-runtime=gcc -fobjc-exceptions -fblocks
                    -fconstant-string-class=NSConstantString -D_GNU_SOURCE -DPACELINE_METAL_EMULATED
                    ${warnings} ${ARGN} -O1 -g -fPIC -I${sdk} -I${mock}/include
                    -I${PROJECT_SOURCE_DIR}/tests/metal -I${PROJECT_SOURCE_DIR}/src
                    -I${PROJECT_SOURCE_DIR}/include -isystem /usr/include/GNUstep
                    -isystem ${gcc_include} -MD -MF ${PROJECT_BINARY_DIR}/${name}.d
                    -c ${source} -o ${PROJECT_BINARY_DIR}/${name}.o
            DEPENDS ${source} ${sdk}/Metal/Metal.h DEPFILE ${PROJECT_BINARY_DIR}/${name}.d VERBATIM)
        set_source_files_properties(${PROJECT_BINARY_DIR}/${name}.o PROPERTIES EXTERNAL_OBJECT ON)
        target_sources(${target} PRIVATE ${PROJECT_BINARY_DIR}/${name}.o)
    endfunction()
    objective_c(pl_metal device ${METAL}/device.m)
    objective_c(pl_metal commands ${METAL}/commands.m)
    foreach(part knobs values memory library commands device)
        objective_c(pl_metal mock_${part} ${mock}/${part}.m -Wno-incomplete-implementation)
    endforeach()
    target_compile_definitions(pl_metal PUBLIC PACELINE_METAL_EMULATED)
    target_include_directories(pl_metal PUBLIC ${PROJECT_SOURCE_DIR}/tests/metal)
    target_link_libraries(pl_metal PUBLIC metal_emulator pl_base gnustep-base objc BlocksRuntime)
endif()
