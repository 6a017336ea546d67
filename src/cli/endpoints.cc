#include "cli/endpoints.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace annulus::cli {

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no address (", why, "): write host:port"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return wrong("it has no port");
  absl::string_view host = text.substr(0, colon);
  const absl::string_view digits = text.substr(colon + 1);
  HostPort result;
  if (!absl::SimpleAtoi(digits, &result.port) || result.port < 1 || result.port > 65535) {
    return wrong("its port is not a number from 1 to 65535");
  }
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != absl::string_view::npos) {
    return wrong("an IPv6 address stands in brackets");
  }
  if (host.empty()) return wrong("it has no host");
  if (host.find_first_of(" \t/@") != absl::string_view::npos) {
    return wrong("a host is a name or an address, without a scheme");
  }
  result.host = std::string(host);
  return result;
}

absl::StatusOr<std::vector<std::string>> ParseEndpoints(absl::string_view text) {
  std::vector<std::string> endpoints;
  for (absl::string_view part :
       absl::StrSplit(text, absl::ByAnyChar(", \t\n"), absl::SkipEmpty())) {
    std::string endpoint(part);
    const bool bracketed = endpoint.back() == ']';
    if (bracketed || part.find(':') == absl::string_view::npos) {
      absl::StrAppend(&endpoint, ":", kPortDefault);
    }
    if (auto parsed = ParseHostPort(endpoint); !parsed.ok()) return parsed.status();
    if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end()) {
      endpoints.push_back(std::move(endpoint));
    }
  }
  if (endpoints.empty()) {
    return absl::InvalidArgumentError(
        "no endpoint is given: pass --endpoints host:port[,host:port] or set ANNULUS_ENDPOINTS");
  }
  return endpoints;
}

}  // namespace annulus::cli
