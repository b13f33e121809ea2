# The CUDA backend. Its host side is plain C and part of every build but a Mac's; the kernels are a
# library of their own, libpaceline_cuda.so, which the program opens when it runs. The library is
# built where nvcc is: CUDA's own, or the one of scripts/setup.sh --cuda.
set(CUDA ${PROJECT_SOURCE_DIR}/src/backend/cuda)
layer(pl_cuda backend/cuda pl_quant ${CMAKE_DL_LIBS})

if(DEFINED ENV{XDG_CACHE_HOME})
    set(caches $ENV{XDG_CACHE_HOME})
else()
    set(caches $ENV{HOME}/.cache)
endif()
file(GLOB pip_nvcc ${caches}/paceline/cuda/lib/python3*/site-packages/nvidia/cu13/bin)
if(PACELINE_CUDA STREQUAL "AUTO" AND
   (PACELINE_SANITIZE OR PACELINE_METAL_EMULATED OR PACELINE_FUZZ))
    set(PACELINE_CUDA OFF)      # builds that look at the host's code: the kernels take minutes
endif()
find_program(NVCC nvcc HINTS /usr/local/cuda/bin ${pip_nvcc})
if(PACELINE_CUDA STREQUAL "ON" AND NOT NVCC)
    message(FATAL_ERROR "PACELINE_CUDA is ON and there is no nvcc: install CUDA 13, or run "
                        "scripts/setup.sh --cuda, or name it with -DNVCC=PATH")
endif()
if(NVCC AND NOT PACELINE_CUDA STREQUAL "OFF")
    # a: the architecture's own instructions, which the kernels are made of
    set(PACELINE_CUDA_ARCHS "90a" CACHE STRING "Compute capabilities that kernels are compiled for")
    foreach(arch ${PACELINE_CUDA_ARCHS})
        list(APPEND gencode -gencode=arch=compute_${arch},code=sm_${arch})
    endforeach()
    set(nvcc_flags -O3 -std=c++17 ${gencode} -I${PROJECT_SOURCE_DIR}/src
                   -Xcompiler -fPIC,-fvisibility=hidden,-Wall)
    file(GLOB cuda_sources CONFIGURE_DEPENDS ${CUDA}/*.cu)
    file(GLOB cuda_headers CONFIGURE_DEPENDS ${CUDA}/*.cuh ${CUDA}/tiles.h ${CUDA}/tile_weight.h
         ${CUDA}/op_args.h ${CUDA}/sampling_args.h ${CUDA}/plugin.h
         ${CUDA}/../kernel_words.h ${CUDA}/../row_pick_args.h)
    foreach(source ${cuda_sources})
        get_filename_component(name ${source} NAME_WE)
        set(object ${PROJECT_BINARY_DIR}/cuda/${name}.o)
        add_custom_command(OUTPUT ${object}
            COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/cuda
            COMMAND ${NVCC} ${nvcc_flags} -c ${source} -o ${object}
            DEPENDS ${source} ${cuda_headers} VERBATIM)
        list(APPEND cuda_objects ${object})
    endforeach()
    get_filename_component(nvcc_folder ${NVCC} DIRECTORY)
    set(PLUGIN ${PROJECT_BINARY_DIR}/libpaceline_cuda.so)
    add_custom_command(OUTPUT ${PLUGIN}
        COMMAND ${NVCC} -shared -cudart static -L${nvcc_folder}/../lib ${cuda_objects} -o ${PLUGIN}
        DEPENDS ${cuda_objects} VERBATIM)
    add_custom_target(paceline_cuda ALL DEPENDS ${PLUGIN})
    install(PROGRAMS ${PLUGIN} DESTINATION lib)
endif()
