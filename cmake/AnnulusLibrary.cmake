# annulus_library(NAME DEPS ...): the static library of one folder. LABELS go to its ctest entry, beside
# "unit": "threaded" is for tests of code that several threads run, which TSan looks at.
#
# Sources are the folder's *.cc but main.cc and *_test.cc, tests its *_test.cc (one test binary,
# NAME_test).
# A folder's headers are reached only through the library that owns them: each library exports one
# include root that holds nothing but a link to its own folder (build/include/NAME/base -> src/base),
# so that an include which the arrows of ARCHITECTURE.md do not allow does not compile. Includes are
# spelled from src/, or from the top for sim/: "base/bytes.h", "adapters/grpc/server.h", "sim/world.h".
function(annulus_library NAME)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE_DEPS;TEST_DEPS;LABELS" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/include/${NAME})
  string(REPLACE ${CMAKE_SOURCE_DIR}/ "" spelled ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "^src/" "" spelled ${spelled})
  get_filename_component(parent ${root}/${spelled} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  if(NOT EXISTS ${root}/${spelled})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${spelled} SYMBOLIC)
  endif()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  set(scope PUBLIC)
  if(sources)
    add_library(annulus_${NAME} STATIC ${sources})
  else()
    set(scope INTERFACE)
    add_library(annulus_${NAME} INTERFACE)
  endif()
  target_include_directories(annulus_${NAME} ${scope} ${root})
  target_link_libraries(annulus_${NAME} ${scope} ${ARG_DEPS})
  if(sources)
    target_link_libraries(annulus_${NAME} PRIVATE ${ARG_PRIVATE_DEPS})
  endif()

  if(ANNULUS_TESTS AND tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE annulus_${NAME} ${ARG_TEST_DEPS} GTest::gtest
                          GTest::gmock GTest::gtest_main rapidcheck)
    add_test(NAME unit.${NAME} COMMAND ${NAME}_test)
    set_tests_properties(unit.${NAME} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 300)
  endif()
endfunction()
