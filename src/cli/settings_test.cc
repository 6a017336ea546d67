#include "cli/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace annulus::cli {
namespace {

using testing::HasSubstr;
using Values = std::map<std::string, std::string>;

constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

class SettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 ("annulus_settings_test." + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, const std::string& text) {
    const std::string path = directory_ / name;
    std::ofstream(path) << text;
    return path;
  }
  // What the settings are refused for.
  static std::string ErrorOf(const std::string& config, const Values& flags,
                             const Values& environment = {}) {
    const auto settings = LoadSettings(config, flags, environment);
    EXPECT_FALSE(settings.ok());
    return std::string(settings.status().message());
  }

  std::filesystem::path directory_;
};

// Enough for a node.
Values Enough(Values more = {}) {
  more.insert({{"name", "node-1"},
               {"data_dir", "/data"},
               {"secret", kSecret},
               {"members", "node-1=host-1:50052,node-2=host-2:50052@b"}});
  return more;
}

TEST_F(SettingsTest, FillsInDefaults) {
  const auto settings = LoadSettings("", Enough(), {});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_FALSE(settings->coordinator);
  EXPECT_EQ(settings->cluster, "annulus");
  EXPECT_EQ(settings->listen_client, "0.0.0.0:50051");
  EXPECT_EQ(settings->listen_peer, "0.0.0.0:50052");
  EXPECT_EQ(settings->listen_http, "0.0.0.0:8080");
  EXPECT_EQ(settings->advertise_peer, "host-1:50052");
  EXPECT_EQ(settings->advertise_client, "host-1:50051");
  EXPECT_EQ(settings->partitions, 256u);
  EXPECT_EQ(settings->replicas, 3u);
  EXPECT_TRUE(settings->sync);
  EXPECT_FALSE(settings->enable_faults);
  EXPECT_EQ(settings->drain, 10s);
  EXPECT_EQ(settings->log_level, "info");
  EXPECT_EQ(settings->log_format, "text");
  EXPECT_THAT(settings->secrets, testing::ElementsAre(kSecret));
  ASSERT_EQ(settings->members.size(), 2u);
  EXPECT_EQ(settings->members[1].name, "node-2");
  EXPECT_EQ(settings->members[1].peer_address, "host-2:50052");
  EXPECT_EQ(settings->members[1].zone, "b");
}

TEST_F(SettingsTest, ReadsAFile) {
  const std::string path = File("node.toml", R"(
# A node.
name = "node-2"
data_dir = "/var/lib/annulus"
secret = "0123456789abcdef0123456789abcdef"
members = ["node-1=host-1:50052", "node-2=host-2:50052@b"]
partitions = 64
sync = false
drain = 2.5
)");
  const auto settings = LoadSettings(path, {}, {});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->name, "node-2");
  EXPECT_EQ(settings->partitions, 64u);
  EXPECT_FALSE(settings->sync);
  EXPECT_EQ(settings->drain, 2500ms);
  EXPECT_EQ(settings->zone, "b");  // As members say.
  EXPECT_EQ(settings->members.size(), 2u);
}

TEST_F(SettingsTest, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  const std::string path =
      File("node.toml", "log_level = \"debug\"\nlog_format = \"json\"\nreplicas = 1\n");
  const auto settings = LoadSettings(path, Enough({{"log_level", "error"}}),
                                     {{"ANNULUS_LOG_LEVEL", "warn"},
                                      {"ANNULUS_REPLICAS", "2"},
                                      {"ANNULUS_ENDPOINTS", "not ours"},
                                      {"PATH", "/bin"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->log_level, "error");
  EXPECT_EQ(settings->replicas, 2u);
  EXPECT_EQ(settings->log_format, "json");
}

TEST_F(SettingsTest, AnUnknownNameIsRefusedWithItsPlaceAndTheNearestOne) {
  const std::string path = File("node.toml", "name = \"a\"\ndata_dri = \"/x\"\n");
  const std::string in_file = ErrorOf(path, {});
  EXPECT_THAT(in_file, HasSubstr(path + ":2: "));
  EXPECT_THAT(in_file, HasSubstr("\"data_dri\""));
  EXPECT_THAT(in_file, HasSubstr("data_dir?"));

  const std::string in_environment = ErrorOf("", Enough(), {{"ANNULUS_REPLICA", "3"}});
  EXPECT_THAT(in_environment, HasSubstr("ANNULUS_REPLICA"));
  EXPECT_THAT(in_environment, HasSubstr("ANNULUS_REPLICAS?"));
}

TEST_F(SettingsTest, ABadValueIsRefusedWithItsPlace) {
  const std::string path = File("node.toml", "\n\nreplicas = 9\n");
  EXPECT_THAT(ErrorOf(path, Enough()), HasSubstr(path + ":3: replicas: \"9\" is not a number"));
  EXPECT_THAT(ErrorOf("", Enough({{"partitions", "100"}})),
              HasSubstr("--partitions: 100 is not a power of two"));
  EXPECT_THAT(ErrorOf("", Enough(), {{"ANNULUS_SYNC", "yes"}}),
              HasSubstr("ANNULUS_SYNC: \"yes\" is neither true nor false"));
  EXPECT_THAT(ErrorOf("", Enough({{"listen_client", "50051"}})), HasSubstr("is not HOST:PORT"));
  EXPECT_THAT(ErrorOf("", Enough({{"listen_client", "host:99999"}})),
              HasSubstr("is not HOST:PORT"));
  EXPECT_THAT(ErrorOf("", Enough({{"log_level", "loud"}})), HasSubstr("none of debug, info"));
  EXPECT_THAT(ErrorOf("", Enough({{"drain", "-1"}})), HasSubstr("seconds"));
  EXPECT_THAT(ErrorOf("", Enough({{"role", "boss"}})), HasSubstr("none of node, coordinator"));
}

TEST_F(SettingsTest, ABrokenFileIsRefusedWithItsLine) {
  EXPECT_THAT(ErrorOf(File("node.toml", "name = \"a\"\nzone = \n"), {}),
              HasSubstr("node.toml:2: "));
  EXPECT_THAT(ErrorOf(File("table.toml", "[name]\nx = 1\n"), {}), HasSubstr("table.toml:1: name"));
  EXPECT_THAT(ErrorOf((directory_ / "absent.toml").string(), {}), HasSubstr("absent.toml"));
}

TEST_F(SettingsTest, MembersAreChecked) {
  const auto error = [](const std::string& members) {
    Values values = Enough();
    values["members"] = members;
    return ErrorOf("", values);
  };
  EXPECT_THAT(error("node-1"), HasSubstr("NAME=HOST:PORT"));
  EXPECT_THAT(error("node-1=host"), HasSubstr("is not HOST:PORT"));
  EXPECT_THAT(error("node-1=host:0"), HasSubstr("is not HOST:PORT"));
  EXPECT_THAT(error("node-1=a:1,node-1=b:1"), HasSubstr("\"node-1\" is twice in it"));
  EXPECT_THAT(error("node-2=b:1"), HasSubstr("members has no \"node-1\""));
}

TEST_F(SettingsTest, ACoordinatorStoresNothing) {
  Values values = Enough({{"role", "coordinator"}});
  values["name"] = "coordinator-1";
  values.erase("data_dir");
  const auto settings = LoadSettings("", values, {{"ANNULUS_DATA_DIR", "/of/the/image"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->coordinator);
  EXPECT_EQ(settings->data_dir, "");
  EXPECT_EQ(settings->advertise_peer, "coordinator-1:50052");
  values["name"] = "node-1";
  EXPECT_THAT(ErrorOf("", values), HasSubstr("stores nothing"));
}

TEST_F(SettingsTest, WhatIsMissingIsNamed) {
  for (const std::string name : {"name", "data_dir", "members", "secret"}) {
    Values values = Enough();
    values.erase(name);
    EXPECT_THAT(ErrorOf("", values), HasSubstr(name + " is not set")) << name;
  }
  Values values = Enough();
  values.erase("secret");
  EXPECT_THAT(ErrorOf("", values), HasSubstr("/dev/urandom"));
}

TEST_F(SettingsTest, SecretsRotate) {
  const std::string file = File("secret", "new-secret-of-the-cluster\nold-secret-of-the-cluster\n");
  Values values = Enough();
  values.erase("secret");
  values["secret_file"] = file;
  const auto settings = LoadSettings("", values, {});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_THAT(settings->secrets,
              testing::ElementsAre("new-secret-of-the-cluster", "old-secret-of-the-cluster"));

  // A flag beats the variable of the other kind; in one layer only one may be given.
  const auto stronger = LoadSettings("", values, {{"ANNULUS_SECRET", kSecret}});
  ASSERT_TRUE(stronger.ok()) << stronger.status();
  EXPECT_EQ(stronger->secrets.size(), 2u);
  values["secret"] = kSecret;
  EXPECT_THAT(ErrorOf("", values), HasSubstr("not both"));

  values = Enough();
  values["secret"] = "short";
  EXPECT_THAT(ErrorOf("", values), HasSubstr("too short"));
}

TEST_F(SettingsTest, EachSettingHasHelpAndDefaultsThatAreValid) {
  for (const SettingInfo& setting : AllSettings()) {
    EXPECT_FALSE(setting.help.empty()) << setting.name;
    if (setting.default_text.empty()) continue;
    const auto settings = LoadSettings("", Enough({{setting.name, setting.default_text}}), {});
    EXPECT_TRUE(settings.ok()) << setting.name << ": " << settings.status();
  }
}

}  // namespace
}  // namespace annulus::cli
