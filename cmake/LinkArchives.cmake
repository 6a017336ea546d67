# annulus_link_archives(): gRPC, protobuf and Abseil, found before, are linked as archives where the system
# has them, and else as the shared libraries that their packages name.
#
# They are sixty shared objects: each call goes through a table and each thread-local through a function, and
# their pages are mapped one by one. As archives they made a node's gets a tenth cheaper, and it 4 MiB smaller
# (docs/performance.md). Sanitizers keep the shared ones, whose symbols they intercept.
function(annulus_link_archives)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER targets INCLUDE REGEX "^(absl|gRPC|protobuf)::")
  foreach(target ${targets})
    foreach(suffix "" _NONE _RELEASE)  # Of these kinds are Debian's.
      get_target_property(location ${target} IMPORTED_LOCATION${suffix})
      string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive "${location}")
      if(EXISTS "${archive}")
        set_target_properties(${target} PROPERTIES IMPORTED_LOCATION${suffix} "${archive}")
      endif()
    endforeach()
  endforeach()
endfunction()
