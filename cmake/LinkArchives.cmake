# annulus_link_archives(): gRPC, protobuf, Abseil and RocksDB, found before, are linked as archives where the
# system has them; and annulus_rocksdb, which is RocksDB.
#
# As shared libraries they are sixty: each call goes through a table, each thread-local through a function
# (RocksDB counts each comparison of keys in one), and their pages are mapped one by one. As archives they
# make gets a tenth cheaper, inserts into RocksDB a fifth, and a node 8 MiB smaller (docs/performance.md).
# Sanitizers keep the shared ones, where they were found to be quiet.
function(annulus_link_archives)
  string(COMPARE EQUAL "${ANNULUS_SANITIZER}" none archives)
  if(archives AND TARGET RocksDB::rocksdb)
    add_library(annulus_rocksdb ALIAS RocksDB::rocksdb)
  elseif(TARGET RocksDB::rocksdb-shared)
    add_library(annulus_rocksdb ALIAS RocksDB::rocksdb-shared)
  endif()
  if(NOT archives)
    return()
  endif()
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
