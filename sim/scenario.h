#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/cluster.h"

namespace annulus::sim {

// A story as text: commands, each with what it came to, so that how nodes interact can be read and
// reviewed (the idea is etcd-io/raft's interaction_test.go). sim/scenarios/*.txt look like
//
//   cluster nodes=5
//   ----
//   owners ABC, others DE
//
//   crash A
//   ----
//
//   put v1 at=D
//   ----
//   applied, owners 2, fallbacks 0
//     forward B
//     ...
//
// It is all about one item. Its owners are A, B, C, in the order of its preference list, then come
// the other nodes, then the coordinators.
//
//   cluster [nodes=5] [coordinators=0] [replicas=3] [seed=1] [repair=3600]
//   put VALUE at=X [w=one|quorum|all] [strict] [over]   over: with the context of the last answer
//   delete at=X [...]                                   always with that context
//   get at=X [r=one|quorum|all] [strict]
//   crash X, restart X, pause X, resume X, isolate X, join X, cut X Y, mend X Y
//   full-disk X, good-disk X
//   wait 5s
//   holds                                               what lies on the disks
class Scenario {
 public:
  Scenario();
  ~Scenario();

  // The same text, with the output that its commands have now.
  std::string Run(std::string_view text);

 private:
  struct Command {
    std::string name;
    std::vector<std::string> words;
    std::map<std::string, std::string> options;
    bool Has(const std::string& word) const;
    std::string Option(const std::string& name, const std::string& fallback) const;
  };

  std::string RunOne(const Command& command);
  std::string Form(const Command& command);
  std::string Write(const Command& command);
  std::string Get(const Command& command);
  std::string ChangeProcess(const Command& command);
  std::string ChangeLink(const Command& command);
  std::string Holds();

  SimProcess& At(const std::string& letter);
  std::string LetterOf(int process) const;
  std::string LetterOf(const std::string& process) const;
  std::string Told(const std::optional<Explanation>& explanation) const;

  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Client> client_;
  std::vector<int> processes_;  // By letter.
  Bytes context_;
};

}  // namespace annulus::sim
