# Compiler flags, sanitizers and ccache, for every target.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths below the sources are hashed as relative ones, so that a second checkout finds what the first
  # has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${CCACHE_PROGRAM})
endif()

# One of: none, address (with undefined), thread.
set(ANNULUS_SANITIZER "none" CACHE STRING "none, address or thread")
set_property(CACHE ANNULUS_SANITIZER PROPERTY STRINGS none address thread)

add_compile_options(-Wall -Wextra -Wpedantic -Werror=return-type -Wnon-virtual-dtor
                    -Woverloaded-virtual -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these inside Abseil's and the standard library's own headers.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict)
endif()

if(ANNULUS_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(ANNULUS_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Boost.Asio's fences, which TSan cannot follow; ours use none.
  endif()
  add_link_options(-fsanitize=thread)
endif()
