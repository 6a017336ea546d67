# annulus_tuned(TARGET LOAD [CLIENT]): the target tuned_TARGET, which is build/PRESET/tuned/TARGET: the same program
# with its code in the order in which LOAD uses it (tools/tune). No part of a usual build, since it takes a minute.
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
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tools/tune $<TARGET_FILE:${TARGET}> ${output} --load ${LOAD} ${client}
    DEPENDS ${TARGET} ${ARGN} ${CMAKE_SOURCE_DIR}/tools/tune/__main__.py
    USES_TERMINAL VERBATIM)
  add_custom_target(tuned_${TARGET} DEPENDS ${output})
endfunction()
