#include "sim/tool/kept_file.h"

#include <cstdio>
#include <fstream>

namespace annulus::sim {

std::optional<std::vector<std::pair<std::string, std::string>>> ReadKeptFile(
    const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::printf("%s cannot be read\n", path.c_str());
    return std::nullopt;
  }
  std::vector<std::pair<std::string, std::string>> kept;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line.starts_with("#")) continue;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) {
      std::printf("%s: \"%s\" is no line of kept seeds\n", path.c_str(), line.c_str());
      return std::nullopt;
    }
    kept.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return kept;
}

}  // namespace annulus::sim
