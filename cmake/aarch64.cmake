# 64-bit ARM by Debian's cross compiler, with the libraries that scripts/aarch64_sysroot.sh unpacks;
# programs run in qemu as an ARMv8.0 processor, the least of what the kernels have to run on.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

get_filename_component(CMAKE_FIND_ROOT_PATH ${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-root ABSOLUTE)
if(NOT IS_DIRECTORY ${CMAKE_FIND_ROOT_PATH})
  message(FATAL_ERROR "no ${CMAKE_FIND_ROOT_PATH}: run scripts/aarch64_sysroot.sh build/aarch64-root")
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu cortex-a53 -L /usr/aarch64-linux-gnu)
