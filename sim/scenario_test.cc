#include "sim/scenario.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

// Every text of sim/scenarios must be what its commands come to. With ANNULUS_REWRITE=1 the texts
// are written anew: review the difference.
TEST(Scenarios, AreWhatHappens) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(ANNULUS_SCENARIOS)) {
    files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty());
  for (const std::filesystem::path& file : files) {
    SCOPED_TRACE(file.filename());
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    const std::string now = Scenario().Run(text.str());
    if (std::getenv("ANNULUS_REWRITE") != nullptr) {
      std::ofstream(file) << now;
    } else {
      EXPECT_EQ(text.str(), now) << "if this is how it should be: ANNULUS_REWRITE=1, and review";
    }
  }
}

}  // namespace
}  // namespace annulus::sim
