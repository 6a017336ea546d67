# /usr/bin's is Debian's, which has python3-grpcio for the tests.
find_program(ANNULUS_PYTHON python3 HINTS /usr/bin)

# annulus_tuned(TARGET LOAD [CLIENT]): the target tuned_TARGET, which is build/PRESET/tuned/TARGET: the same program
# with its code in the order in which LOAD uses it (tools/tune). No part of a usual build: it takes a minute and a half.
function(annulus_tuned TARGET LOAD)
  if(NOT ANNULUS_SANITIZER STREQUAL "none")
    return()
  endif()
  target_link_options(${TARGET} PRIVATE -Wl,--emit-relocs)  # Else nobody knows what refers to what is moved.
  set(client)
  foreach(name ${ARGN})
    list(APPEND client --client $<TARGET_FILE:${name}>)
  endforeach()
  set(output ${CMAKE_BINARY_DIR}/tuned/${TARGET})
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${ANNULUS_PYTHON} ${CMAKE_SOURCE_DIR}/tools/tune $<TARGET_FILE:${TARGET}> ${output} --load ${LOAD} ${client}
    DEPENDS ${TARGET} ${ARGN} ${CMAKE_SOURCE_DIR}/tools/tune/__main__.py
            ${CMAKE_SOURCE_DIR}/bench/peers/systems.py
    USES_TERMINAL VERBATIM)
  add_custom_target(tuned_${TARGET} DEPENDS ${output})
endfunction()
