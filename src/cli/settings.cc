#include "cli/settings.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/suggest.h"

// toml++ reports errors as values this way.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace annulus::cli {
namespace {

constexpr char kMakeSecret[] =
    "make one with `head -c 32 /dev/urandom | base64` and give the same one to every process of "
    "the "
    "cluster, as secret, ANNULUS_SECRET or secret_file";
constexpr size_t kSecretBytesMin = 16;
constexpr uint64_t kDrainSecondsMax = 3600;

// Where a value was given, and how strong that makes it.
enum class Layer { kFile, kEnvironment, kFlag };
struct Given {
  std::string text;
  std::string place;  // "node.toml:3: data_dir", "ANNULUS_DATA_DIR", "--data-dir"
  Layer layer = Layer::kFile;
};
using GivenByName = std::map<std::string, Given>;

struct Definition {
  SettingInfo info;
  // Says what is wrong with the text, without the place.
  std::function<absl::Status(const std::string& text, ServeSettings* out)> apply;
};

absl::Status Wrong(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckAddress(const std::string& text, uint32_t port_min) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port > 65535 || port < port_min) {
    return Wrong(absl::StrCat("\"", text, "\" is not HOST:PORT"));
  }
  return absl::OkStatus();
}

absl::Status CheckName(const std::string& text) {
  const bool valid =
      !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
      });
  if (valid) return absl::OkStatus();
  return Wrong(absl::StrCat("\"", text, "\" is no name: 1 to 63 letters, digits, '-', '_' or '.'"));
}

absl::Status ParseNumber(const std::string& text, uint64_t min, uint64_t max, uint64_t* out) {
  if (absl::SimpleAtoi(text, out) && *out >= min && *out <= max) return absl::OkStatus();
  return Wrong(absl::StrCat("\"", text, "\" is not a number from ", min, " to ", max));
}

absl::Status ParseMembers(const std::string& text, ServeSettings* out) {
  out->members.clear();
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::string entry(absl::StripAsciiWhitespace(part));
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) {
      return Wrong(absl::StrCat("\"", entry, "\" is not NAME=HOST:PORT or NAME=HOST:PORT@ZONE"));
    }
    ServeSettings::Member member{.name = entry.substr(0, equals),
                                 .peer_address = entry.substr(equals + 1)};
    if (const size_t at = member.peer_address.find('@'); at != std::string::npos) {
      member.zone = member.peer_address.substr(at + 1);
      member.peer_address.resize(at);
    }
    if (absl::Status name = CheckName(member.name); !name.ok()) return name;
    if (absl::Status address = CheckAddress(member.peer_address, 1); !address.ok()) return address;
    for (const ServeSettings::Member& other : out->members) {
      if (other.name == member.name)
        return Wrong(absl::StrCat("\"", member.name, "\" is twice in it"));
    }
    out->members.push_back(std::move(member));
  }
  return absl::OkStatus();
}

absl::Status ParseSecrets(const std::string& text, ServeSettings* out) {
  out->secrets.clear();
  for (const absl::string_view part :
       absl::StrSplit(text, absl::ByAnyChar(", \t\r\n"), absl::SkipEmpty())) {
    if (part.size() < kSecretBytesMin) {
      return Wrong(absl::StrCat("a secret of ", part.size(), " characters is too short, at least ",
                                kSecretBytesMin, " are needed; ", kMakeSecret));
    }
    out->secrets.emplace_back(part);
  }
  if (out->secrets.empty()) return Wrong(absl::StrCat("it holds no secret; ", kMakeSecret));
  return absl::OkStatus();
}

absl::Status ReadSecretFile(const std::string& path, ServeSettings* out) {
  std::ifstream file(path);
  if (!file) return Wrong(absl::StrCat("cannot read ", path));
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  absl::Status status = ParseSecrets(text, out);
  if (!status.ok()) status = Wrong(absl::StrCat(path, ": ", status.message()));
  return status;
}

absl::Status ParseBool(const std::string& text, bool* out) {
  if (text == "true" || text == "false") {
    *out = text == "true";
    return absl::OkStatus();
  }
  return Wrong(absl::StrCat("\"", text, "\" is neither true nor false"));
}

absl::Status ParseSeconds(const std::string& text, Duration* out) {
  constexpr double kSecondsMin = 0.1;
  constexpr double kSecondsMax = 86400;
  double seconds = 0;
  const std::string number(absl::StripSuffix(text, "s"));
  if (!absl::SimpleAtod(number, &seconds) || !(seconds >= kSecondsMin) || seconds > kSecondsMax) {
    return Wrong(absl::StrCat("\"", text, "\" is not a number of seconds from ", kSecondsMin,
                              " to ", kSecondsMax));
  }
  *out = FromSeconds(seconds);
  return absl::OkStatus();
}

absl::Status ParseDrain(const std::string& text, ServeSettings* out) {
  double seconds = 0;
  const std::string number(absl::StripSuffix(text, "s"));
  if (!absl::SimpleAtod(number, &seconds) || !(seconds >= 0) || seconds > kDrainSecondsMax) {
    return Wrong(
        absl::StrCat("\"", text, "\" is not a number of seconds from 0 to ", kDrainSecondsMax));
  }
  out->drain = FromSeconds(seconds);
  return absl::OkStatus();
}

absl::Status ParseOneOf(const std::string& text, const std::vector<std::string>& choices,
                        std::string* out) {
  if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
    return Wrong(absl::StrCat("\"", text, "\" is none of ", absl::StrJoin(choices, ", ")));
  }
  *out = text;
  return absl::OkStatus();
}

// A setting that is taken as it is.
std::function<absl::Status(const std::string&, ServeSettings*)> Text(
    std::string ServeSettings::*field) {
  return [field](const std::string& text, ServeSettings* out) {
    out->*field = text;
    return absl::OkStatus();
  };
}

std::function<absl::Status(const std::string&, ServeSettings*)> Address(
    std::string ServeSettings::*field, uint32_t port_min) {
  return [field, port_min](const std::string& text, ServeSettings* out) {
    out->*field = text;
    return CheckAddress(text, port_min);
  };
}

std::function<absl::Status(const std::string&, ServeSettings*)> Choice(
    std::string ServeSettings::*field, std::vector<std::string> choices) {
  return [field, choices = std::move(choices)](const std::string& text, ServeSettings* out) {
    return ParseOneOf(text, choices, &(out->*field));
  };
}

const std::vector<Definition>& Definitions() {
  static const auto* definitions = new std::vector<Definition>{
      {{"name", "name of this process in the cluster", ""},
       [](const std::string& text, ServeSettings* out) {
         out->name = text;
         return CheckName(text);
       }},
      {{"role", "node (coordinates and stores) or coordinator (stores nothing)", "node"},
       [](const std::string& text, ServeSettings* out) {
         std::string role;
         absl::Status status = ParseOneOf(text, {"node", "coordinator"}, &role);
         out->coordinator = role == "coordinator";
         return status;
       }},
      {{"data_dir", "directory that holds the data of a node", ""}, Text(&ServeSettings::data_dir)},
      {{"cluster", "name of the cluster; processes of another are refused", "annulus"},
       [](const std::string& text, ServeSettings* out) {
         out->cluster = text;
         return CheckName(text);
       }},
      {{"members", "initial nodes: NAME=HOST:PORT or NAME=HOST:PORT@ZONE, comma separated", ""},
       ParseMembers},
      {{"zone", "where this node stands; copies are spread over zones", ""},
       Text(&ServeSettings::zone)},
      {{"secret", "secret of the cluster; the first of several signs, all are accepted", ""},
       ParseSecrets},
      {{"secret_file", "file with the secret, one a line", ""}, ReadSecretFile},
      {{"listen_client", "HOST:PORT for clients", "0.0.0.0:50051"},
       Address(&ServeSettings::listen_client, 0)},
      {{"listen_peer", "HOST:PORT for other nodes", "0.0.0.0:50052"},
       Address(&ServeSettings::listen_peer, 0)},
      {{"listen_http", "HOST:PORT for health and metrics", "0.0.0.0:8080"},
       Address(&ServeSettings::listen_http, 0)},
      {{"advertise_peer", "HOST:PORT at which other nodes reach this one, if not as in members",
        ""},
       Address(&ServeSettings::advertise_peer, 1)},
      {{"advertise_client", "HOST:PORT that clients are told", ""},
       Address(&ServeSettings::advertise_client, 1)},
      {{"partitions", "partitions of the ring, a power of two, fixed for good", "256"},
       [](const std::string& text, ServeSettings* out) {
         uint64_t number = 0;
         absl::Status status = ParseNumber(text, 1, 65536, &number);
         if (status.ok() && (number & (number - 1)) != 0) {
           status = Wrong(absl::StrCat(number, " is not a power of two"));
         }
         out->partitions = static_cast<uint32_t>(number);
         return status;
       }},
      {{"replicas", "copies of each item (N)", "3"},
       [](const std::string& text, ServeSettings* out) {
         uint64_t number = 0;
         absl::Status status = ParseNumber(text, 1, 7, &number);
         out->replicas = static_cast<uint32_t>(number);
         return status;
       }},
      {{"sync", "whether a write is on the disk before it is acknowledged", "true"},
       [](const std::string& text, ServeSettings* out) { return ParseBool(text, &out->sync); }},
      {{"cache_mb", "MiB for caches; 0: by the memory there is", "0"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 0, 1 << 20, &out->cache_mb);
       }},
      {{"repair_interval", "seconds between comparisons of a node's data with its other owners'",
        "10"},
       [](const std::string& text, ServeSettings* out) {
         return ParseSeconds(text, &out->repair_interval);
       }},
      {{"reap_interval", "seconds between looks for tombstones that can be deleted for good", "60"},
       [](const std::string& text, ServeSettings* out) {
         return ParseSeconds(text, &out->reap_interval);
       }},
      {{"clock_skew_max", "seconds that the nodes' wall clocks may be apart", "600"},
       [](const std::string& text, ServeSettings* out) {
         return ParseSeconds(text, &out->clock_skew_max);
       }},
      {{"repair_mb_per_second", "MiB of records that repairs move in a second; 0: no limit", "16"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 0, 1 << 20, &out->repair_mb_per_second);
       }},
      {{"scrub_days", "days in which all hash trees are compared with the data once", "7"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 1, 365, &out->scrub_days);
       }},
      {{"hint_mb", "MiB of writes kept for members that do not answer", "1024"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 0, 1 << 20, &out->hint_mb);
       }},
      {{"operations_max", "operations of clients under way; more are refused at once", "4096"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 1, 1 << 20, &out->operations_max);
       }},
      {{"operations_mb", "MiB of their requests and expected answers", "32"},
       [](const std::string& text, ServeSettings* out) {
         return ParseNumber(text, 1, 1 << 20, &out->operations_mb);
       }},
      {{"drain", "seconds that requests under way get at SIGTERM", "10"}, ParseDrain},
      {{"enable_faults", "let `annulus faults` break this process on purpose: for drills only",
        "false"},
       [](const std::string& text, ServeSettings* out) {
         return ParseBool(text, &out->enable_faults);
       }},
      {{"log_level", "debug, info, warn or error", "info"},
       Choice(&ServeSettings::log_level, {"debug", "info", "warn", "error"})},
      {{"log_format", "text or json", "text"},
       Choice(&ServeSettings::log_format, {"text", "json"})},
  };
  return *definitions;
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const Definition& definition : Definitions()) names.push_back(definition.info.name);
  return names;
}

bool Known(const std::string& name) {
  const std::vector<std::string> names = Names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string FlagOf(const std::string& name) {
  return absl::StrCat("--", absl::StrReplaceAll(name, {{"_", "-"}}));
}
std::string VariableOf(const std::string& name) {
  return absl::StrCat("ANNULUS_", absl::AsciiStrToUpper(name));
}

// Variables of clients, of deploy/compose.yaml, and of the scripts that build and test, which a
// process that they start may inherit.
bool NotOurs(const std::string& variable) {
  for (const char* name : {"ANNULUS_ENDPOINTS", "ANNULUS_IMAGE", "ANNULUS_NODES", "ANNULUS_BINARY",
                           "ANNULUS_PYTHON", "ANNULUS_KILLS"}) {
    if (variable == name) return true;
  }
  for (const char* prefix : {"ANNULUS_PORT_", "ANNULUS_HTTP_", "ANNULUS_COMPOSE"}) {
    if (absl::StartsWith(variable, prefix)) return true;
  }
  return false;
}

absl::Status Unknown(const std::string& place, const std::string& spelled, const std::string& name,
                     std::string (*spell)(const std::string&)) {
  const std::string nearest = Nearest(name, Names());
  return Wrong(absl::StrCat(place, "there is no setting ", spelled,
                            nearest.empty()
                                ? "; `annulus serve --help` lists them"
                                : absl::StrCat("; did you mean ", spell(nearest), "?")));
}

std::string SpellPlain(const std::string& name) { return name; }

// A TOML value as the text that a flag would have. nullopt: of no kind that a setting has.
std::optional<std::string> TextOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return absl::StrCat(number->get());
  if (const auto* number = node.as_floating_point()) return absl::StrCat(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* array = node.as_array()) {
    std::vector<std::string> parts;
    for (const toml::node& element : *array) {
      if (!element.is_string()) return std::nullopt;
      parts.push_back(element.as_string()->get());
    }
    return absl::StrJoin(parts, ",");
  }
  return std::nullopt;
}

absl::Status ReadFile(const std::string& path, GivenByName* given) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read the settings in ", path));
  const toml::parse_result parsed = toml::parse(file, path);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Wrong(
        absl::StrCat(path, ":", error.source().begin.line, ": ", std::string(error.description())));
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string name(key.str());
    const std::string line = absl::StrCat(path, ":", key.source().begin.line, ": ");
    if (!Known(name)) return Unknown(line, absl::StrCat("\"", name, "\""), name, SpellPlain);
    std::optional<std::string> text = TextOf(node);
    if (!text.has_value()) {
      return Wrong(
          absl::StrCat(line, name, ": give text, a number, true, false or a list of texts"));
    }
    (*given)[name] = {*std::move(text), absl::StrCat(line, name), Layer::kFile};
  }
  return absl::OkStatus();
}

absl::Status ReadEnvironment(const std::map<std::string, std::string>& environment,
                             GivenByName* given) {
  constexpr absl::string_view kPrefix = "ANNULUS_";
  for (const auto& [variable, text] : environment) {
    if (!absl::StartsWith(variable, kPrefix) || NotOurs(variable)) continue;
    const std::string name = absl::AsciiStrToLower(variable.substr(kPrefix.size()));
    if (!Known(name) || variable != VariableOf(name)) {
      return Unknown("environment: ", variable, name, VariableOf);
    }
    (*given)[name] = {text, variable, Layer::kEnvironment};
  }
  return absl::OkStatus();
}

absl::Status ReadFlags(const std::map<std::string, std::string>& flags, GivenByName* given) {
  for (const auto& [name, text] : flags) {
    if (!Known(name)) return Unknown("", FlagOf(name), name, FlagOf);
    (*given)[name] = {text, FlagOf(name), Layer::kFlag};
  }
  return absl::OkStatus();
}

// Of the two ways to give the secret the stronger layer wins.
absl::Status ChooseSecret(GivenByName* given) {
  const auto text = given->find("secret");
  const auto file = given->find("secret_file");
  if (text == given->end() || file == given->end()) return absl::OkStatus();
  if (text->second.layer == file->second.layer) {
    return Wrong(absl::StrCat(text->second.place, ": give secret or secret_file, not both"));
  }
  given->erase(text->second.layer < file->second.layer ? text : file);
  return absl::OkStatus();
}

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }
std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

absl::Status FillIn(ServeSettings* settings) {
  const std::string how = "; give it as a flag, as ANNULUS_* or in the file";
  if (settings->name.empty()) return Wrong(absl::StrCat("name is not set", how));
  if (settings->members.empty()) {
    return Wrong(
        absl::StrCat("members is not set: list every initial node as NAME=HOST:PORT", how));
  }
  if (settings->secrets.empty()) return Wrong(absl::StrCat("secret is not set: ", kMakeSecret));
  if (settings->coordinator) {
    settings->data_dir.clear();
  } else if (settings->data_dir.empty()) {
    return Wrong(absl::StrCat("data_dir is not set: a node needs a directory for its data", how));
  }

  const auto self = std::find_if(settings->members.begin(), settings->members.end(),
                                 [&](const auto& member) { return member.name == settings->name; });
  if (self == settings->members.end() && !settings->coordinator) {
    return Wrong(absl::StrCat("members has no \"", settings->name,
                              "\", which is the name of this node; add it, or set role to "
                              "coordinator"));
  }
  if (self != settings->members.end() && settings->coordinator) {
    return Wrong(absl::StrCat("members has \"", settings->name,
                              "\", the name of this coordinator, which stores nothing"));
  }
  if (self != settings->members.end()) {
    if (settings->advertise_peer.empty()) settings->advertise_peer = self->peer_address;
    if (settings->zone.empty()) settings->zone = self->zone;
  }
  if (settings->advertise_peer.empty()) {
    settings->advertise_peer = absl::StrCat(settings->name, ":", PortOf(settings->listen_peer));
  }
  if (settings->advertise_client.empty()) {
    settings->advertise_client =
        absl::StrCat(HostOf(settings->advertise_peer), ":", PortOf(settings->listen_client));
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<SettingInfo>& AllSettings() {
  static const auto* settings = [] {
    auto* all = new std::vector<SettingInfo>;
    for (const Definition& definition : Definitions()) all->push_back(definition.info);
    return all;
  }();
  return *settings;
}

absl::StatusOr<ServeSettings> LoadSettings(const std::string& config,
                                           const std::map<std::string, std::string>& flags,
                                           const std::map<std::string, std::string>& environment) {
  GivenByName given;
  if (!config.empty()) {
    if (absl::Status status = ReadFile(config, &given); !status.ok()) return status;
  }
  if (absl::Status status = ReadEnvironment(environment, &given); !status.ok()) return status;
  if (absl::Status status = ReadFlags(flags, &given); !status.ok()) return status;
  if (absl::Status status = ChooseSecret(&given); !status.ok()) return status;

  ServeSettings settings;
  for (const Definition& definition : Definitions()) {
    const auto found = given.find(definition.info.name);
    if (found == given.end()) {
      if (!definition.info.default_text.empty()) {
        absl::Status status = definition.apply(definition.info.default_text, &settings);
        if (!status.ok()) return status;
      }
      continue;
    }
    if (absl::Status status = definition.apply(found->second.text, &settings); !status.ok()) {
      return Wrong(absl::StrCat(found->second.place, ": ", status.message()));
    }
  }
  if (absl::Status status = FillIn(&settings); !status.ok()) return status;
  return settings;
}

}  // namespace annulus::cli
