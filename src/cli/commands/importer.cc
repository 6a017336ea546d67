#include "cli/commands/importer.h"

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "cli/encoding.h"
#include "cli/failure.h"

namespace annulus::cli {
namespace {

// A record that is larger than one answer is replaced part by part; each round shows another part.
constexpr int kRoundsMax = 50;

std::string ItemId(const Record& record) {
  std::string id;
  PutSized(&id, record.key);
  id += record.sort_key;
  return id;
}

int64_t NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Importer::Importer(Pipeline* pipeline, Options options,
                   std::function<void(const std::string&)> complain)
    : pipeline_(pipeline), options_(std::move(options)), complain_(std::move(complain)) {}

void Importer::Write(Record record) {
  // What has expired is not there any more, and should not come back for ever.
  const int64_t now = NowMicros();
  std::erase_if(record.values, [now](const Record::Value& value) {
    return value.expires_us != 0 && value.expires_us <= now;
  });
  auto job = std::make_shared<Job>();
  job->record = std::move(record);
  job->id = ItemId(job->record);
  const bool again = options_.create && !seen_.insert(Hash64(job->id)).second;
  {
    std::unique_lock lock(mutex_);
    ++counts_.read;
    if (job->record.values.empty()) {
      ++counts_.skipped;
      ++ended_;
      return;
    }
    changed_.wait(lock, [&] {
      return under_way_.size() < options_.records_max && !under_way_.contains(job->id);
    });
    under_way_.insert(job->id);
  }
  if (options_.create && !again) {
    Put(job, /*chained=*/false);
  } else {
    Get(job, /*chained=*/false);
  }
}

void Importer::Drain() {
  // The pipeline waits until the last callback has returned, not only until it has done its work:
  // after that nothing touches this object.
  pipeline_->Drain();
}

Importer::Counts Importer::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

void Importer::Start(kv::v1::Operation operation, bool chained, Pipeline::Callback done) {
  if (chained) {
    pipeline_->StartChained(std::move(operation), std::move(done));
  } else {
    pipeline_->Start(std::move(operation), std::move(done));
  }
}

void Importer::Get(const JobPtr& job, bool chained) {
  kv::v1::Operation operation;
  kv::v1::GetRequest* get = operation.mutable_get();
  get->set_bucket(options_.bucket);
  get->set_key(job->record.key);
  get->set_sort_key(job->record.sort_key);
  Start(std::move(operation), chained, [this, job](absl::StatusOr<kv::v1::OperationResult> result) {
    if (!result.ok()) {
      // Nothing is written where it is not known what would be replaced. In a later round the
      // record itself is there already, beside what is left of the old one.
      job->failure = result.status();
      End(job);
      return;
    }
    job->context = std::move(*result->mutable_get()->mutable_context());
    job->more = result->get().more();
    Put(job, /*chained=*/true);
  });
}

void Importer::Put(const JobPtr& job, bool chained) {
  const int64_t now = NowMicros();
  job->left = job->record.values.size();
  // The last callback may end the job, so nothing of it is used behind the last Start.
  const size_t count = job->left;
  for (size_t i = 0; i < count; ++i) {
    const Record::Value& value = job->record.values[i];
    kv::v1::Operation operation;
    kv::v1::PutRequest* put = operation.mutable_put();
    put->set_bucket(options_.bucket);
    put->set_key(job->record.key);
    put->set_sort_key(job->record.sort_key);
    put->set_value(value.bytes);
    put->set_context(job->context);
    put->mutable_options()->set_consistency(options_.consistency);
    put->mutable_options()->set_w(options_.w);
    if (value.expires_us != 0) {
      put->mutable_options()->set_ttl_ms(std::max<int64_t>(1, (value.expires_us - now) / 1000));
    } else {
      put->mutable_options()->set_ttl_ms(options_.ttl.count());
    }
    Start(std::move(operation), chained || i > 0,
          [this, job](const absl::StatusOr<kv::v1::OperationResult>& result) {
            OnPut(job, result.status());
          });
  }
}

void Importer::OnPut(const JobPtr& job, const absl::Status& status) {
  bool ended = false, again = false;
  {
    std::lock_guard lock(mutex_);
    // Of several failures the one is told that leaves most in doubt.
    if (!status.ok() && (job->failure.ok() || DetailsOf(status).outcome == Outcome::kUnknown)) {
      job->failure = status;
    }
    ended = --job->left == 0;
    again = ended && job->failure.ok() && job->more && ++job->rounds < kRoundsMax;
  }
  if (again) {
    Get(job, /*chained=*/true);
  } else if (ended) {
    End(job);
  }
}

void Importer::End(const JobPtr& job) {
  if (!job->failure.ok()) {
    if (DetailsOf(job->failure).reason == kUnreachable) cut_off_ = true;
    complain_(DescribeShort(absl::StrCat("line ", job->record.line, ", key \"",
                                         PrintableShort(job->record.key, 60), "\""),
                            job->failure));
  }
  {
    std::lock_guard lock(mutex_);
    if (job->failure.ok()) {
      ++counts_.written;
    } else {
      ++counts_.failed;
      if (DetailsOf(job->failure).outcome == Outcome::kUnknown) ++counts_.unknown;
    }
    ++ended_;
    under_way_.erase(job->id);
  }
  changed_.notify_all();
}

}  // namespace annulus::cli
