#include "cli/dev_cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace annulus::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;

class DevClusterTest : public testing::Test {
 protected:
  DevClusterTest() {
    options_.data = testing::TempDir() + "dev-cluster";
    std::filesystem::remove_all(options_.data);
  }
  DevOptions options_;
};

TEST_F(DevClusterTest, PlansPortsAndPaths) {
  const auto nodes = PlanDevNodes(options_);
  ASSERT_TRUE(nodes.ok());
  ASSERT_EQ(nodes->size(), 3u);
  EXPECT_EQ((*nodes)[0].name, "node-1");
  EXPECT_EQ((*nodes)[2].client, "127.0.0.1:50071");
  EXPECT_EQ((*nodes)[2].peer, "127.0.0.1:50072");
  EXPECT_EQ((*nodes)[2].http, "127.0.0.1:8100");
  EXPECT_EQ((*nodes)[2].data, options_.data + "/node-3");
  EXPECT_EQ((*nodes)[2].log, options_.data + "/node-3.log");
  const auto arguments = ServeArguments(options_, *nodes, (*nodes)[1], "secret");
  EXPECT_THAT(arguments, Contains("node-1=127.0.0.1:50052,node-2=127.0.0.1:50062,"
                                  "node-3=127.0.0.1:50072"));
}

TEST_F(DevClusterTest, RefusesNumbersThatDoNotFit) {
  options_.nodes = 10;
  EXPECT_FALSE(PlanDevNodes(options_).ok());
  options_.nodes = 3;
  options_.port = 65530;
  EXPECT_THAT(std::string(PlanDevNodes(options_).status().message()), HasSubstr("--port"));
  options_.port = options_.http_port = 9000;
  EXPECT_THAT(std::string(PlanDevNodes(options_).status().message()), HasSubstr("9000"));
}

TEST_F(DevClusterTest, ADirectoryHasOneSupervisorAndOneShape) {
  {
    const auto first = DevDirectory::Open(options_);
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = DevDirectory::Open(options_);
    ASSERT_FALSE(second.ok());
    EXPECT_THAT(std::string(second.status().message()),
                HasSubstr("pid " + std::to_string(getpid())));
  }
  options_.nodes = 5;  // Nothing ran here yet.
  {
    const auto directory = DevDirectory::Open(options_);
    ASSERT_TRUE(directory.ok());
    ASSERT_TRUE(directory->RecordShape(options_).ok());
  }
  EXPECT_TRUE(DevDirectory::Open(options_).ok());
  options_.nodes = 4;
  const auto other = DevDirectory::Open(options_);
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("--nodes 5"));
}

TEST_F(DevClusterTest, KeepsItsSecretAndSaysWhoIsWho) {
  const auto directory = DevDirectory::Open(options_);
  ASSERT_TRUE(directory.ok());
  const auto path = directory->SecretFile();
  ASSERT_TRUE(path.ok());
  struct stat info {};
  ASSERT_EQ(stat(path->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto read = [](const std::string& file) {
    std::ifstream stream(file);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  const std::string secret = read(*path);
  EXPECT_EQ(secret.size(), 65u);
  ASSERT_TRUE(directory->SecretFile().ok());
  EXPECT_EQ(read(*path), secret);

  auto nodes = *PlanDevNodes(options_);
  nodes[0].pid = 123;
  nodes[0].id = "00000000000000ab";
  ASSERT_TRUE(directory->WriteClusterFile(nodes).ok());
  const auto json = nlohmann::json::parse(read(options_.data + "/cluster.json"));
  EXPECT_EQ(json["cluster"], "dev");
  ASSERT_EQ(json["nodes"].size(), 3u);
  EXPECT_EQ(json["nodes"][0]["pid"], 123);
  EXPECT_EQ(json["nodes"][0]["id"], "00000000000000ab");
  EXPECT_EQ(json["nodes"][1]["client"], "127.0.0.1:50061");
  directory->RemoveClusterFile();
  EXPECT_FALSE(std::filesystem::exists(options_.data + "/cluster.json"));
}

TEST_F(DevClusterTest, NamesThePortThatIsTaken) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string port = std::to_string(ntohs(address.sin_port));
  DevNode node;
  node.name = "node-1";
  node.client = node.peer = node.http = "127.0.0.1:" + port;
  const absl::Status status = CheckPortsFree({node});
  close(fd);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("port " + port));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--port"));
  EXPECT_TRUE(CheckPortsFree({node}).ok());
}

}  // namespace
}  // namespace annulus::cli
