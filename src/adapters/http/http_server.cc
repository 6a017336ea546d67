#include "adapters/http/http_server.h"

#include <pthread.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Response = http::response<http::string_body>;

struct Answer {
  http::status status = http::status::ok;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Loop* loop, HttpOptions options, Sources sources)
      : loop_(loop), options_(std::move(options)), sources_(std::move(sources)) {}

  ~Impl() {
    {
      std::lock_guard<std::mutex> lock(alive_->mutex);
      alive_->alive = false;
    }
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Bind() {
    const size_t colon = options_.address.rfind(':');
    uint32_t port = 0;
    if (colon == std::string::npos || colon == 0 ||
        !absl::SimpleAtoi(options_.address.substr(colon + 1), &port) || port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat(options_.setting, " = \"", options_.address,
                                                     "\" is not host:port, like 0.0.0.0:8080"));
    }
    std::string host = options_.address.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    boost::system::error_code error;
    tcp::resolver resolver(context_);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
    if (!error && !found.empty()) {
      const tcp::endpoint endpoint = found.begin()->endpoint();
      acceptor_.open(endpoint.protocol(), error);
      if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
      if (!error) acceptor_.bind(endpoint, error);
      if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    }
    if (error) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot listen on ", options_.address, ": ", error.message(),
                       "; choose another address with the setting ", options_.setting));
    }
    return absl::OkStatus();
  }

  void Run() {
    Accept();
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "annulus http");
      context_.run();
    });
  }

  int port() const { return acceptor_.local_endpoint().port(); }

 private:
  // One connection. It lives in the handlers that wait for it.
  class Session : public std::enable_shared_from_this<Session> {
   public:
    Session(Impl* impl, tcp::socket socket) : impl_(impl), stream_(std::move(socket)) {
      impl_->sessions_.insert(this);
    }
    ~Session() { impl_->sessions_.erase(this); }

    void Read() {
      parser_.emplace();
      parser_->header_limit(static_cast<uint32_t>(impl_->options_.header_bytes_max));
      parser_->body_limit(0);
      stream_.expires_after(impl_->options_.idle_timeout);
      http::async_read(
          stream_, buffer_, *parser_,
          [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
    }

   private:
    void OnRead(beast::error_code error) {
      if (error == http::error::end_of_stream) {
        stream_.socket().shutdown(tcp::socket::shutdown_send, error);
        return;
      }
      if (error == http::error::header_limit) {
        parser_->get().keep_alive(false);
        return Reply({http::status::request_header_fields_too_large, {}, "headers too large\n"});
      }
      if (error == http::error::body_limit) {
        parser_->get().keep_alive(false);
        return Reply({http::status::payload_too_large, {}, "no request here has a body\n"});
      }
      if (error) return;
      impl_->Handle(parser_->get(),
                    [self = shared_from_this()](Answer answer) { self->Reply(std::move(answer)); });
    }

    void Reply(Answer answer) {
      const auto& request = parser_->get();
      response_.emplace(answer.status, request.version());
      response_->set(http::field::server, "annulus");
      response_->set(http::field::cache_control, "no-store");
      if (answer.status == http::status::method_not_allowed) {
        response_->set(http::field::allow, "GET, HEAD");
      }
      response_->set(http::field::content_type,
                     answer.type.empty() ? "text/plain; charset=utf-8" : answer.type);
      response_->keep_alive(request.keep_alive());
      const size_t size = answer.body.size();
      if (request.method() != http::verb::head) response_->body() = std::move(answer.body);
      response_->content_length(size);
      stream_.expires_after(impl_->options_.idle_timeout);
      http::async_write(
          stream_, *response_,
          [self = shared_from_this()](beast::error_code error, size_t) { self->OnWritten(error); });
    }

    void OnWritten(beast::error_code error) {
      if (error) return;
      if (response_->keep_alive()) return Read();
      stream_.socket().shutdown(tcp::socket::shutdown_send, error);
    }

    Impl* impl_;
    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::empty_body>> parser_;
    std::optional<Response> response_;
  };

  // One look at the loop: whichever of the loop and the timer is first answers.
  struct Probe {
    explicit Probe(asio::io_context& context) : timer(context) {}
    asio::steady_timer timer;
    std::function<void(std::optional<Readiness>)> done;
  };

  void Accept() {
    acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) {
        // Out of descriptors, most likely: try again when some may have been closed.
        accept_again_.expires_after(std::chrono::milliseconds(100));
        accept_again_.async_wait([this](boost::system::error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      // Beyond the bound a connection is closed at once: the socket goes out of scope.
      if (sessions_.size() < options_.connections_max) {
        std::make_shared<Session>(this, std::move(socket))->Read();
      }
      Accept();
    });
  }

  void Handle(const http::request<http::empty_body>& request, std::function<void(Answer)> reply) {
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return reply({http::status::method_not_allowed, {}, "only GET and HEAD\n"});
    }
    const beast::string_view target = request.target();
    const beast::string_view path = target.substr(0, target.find('?'));
    if (path == "/metrics") {
      return reply(
          {http::status::ok, "text/plain; version=0.0.4; charset=utf-8", sources_.metrics()});
    }
    if (path == "/livez" || path == "/readyz") {
      const bool live_only = path == "/livez";
      return AskLoop([live_only, reply = std::move(reply)](std::optional<Readiness> answer) {
        if (!answer.has_value()) {
          reply({http::status::service_unavailable, {}, "the event loop does not answer\n"});
        } else if (live_only) {
          reply({http::status::ok, {}, "alive\n"});
        } else if (answer->ready) {
          reply({http::status::ok, {}, "ready\n"});
        } else {
          reply({http::status::service_unavailable, {}, answer->reason + "\n"});
        }
      });
    }
    reply({http::status::not_found, {}, "try /livez, /readyz or /metrics\n"});
  }

  void AskLoop(std::function<void(std::optional<Readiness>)> done) {
    auto probe = std::make_shared<Probe>(context_);
    probe->done = std::move(done);
    probe->timer.expires_after(options_.loop_patience);
    probe->timer.async_wait([probe](boost::system::error_code) {
      if (auto done = std::exchange(probe->done, nullptr); done) done(std::nullopt);
    });
    // The job may outlive this server: it looks at the flag first.
    loop_->Post(
        [this, alive = alive_, readiness = sources_.readiness, weak = std::weak_ptr<Probe>(probe)] {
          std::lock_guard<std::mutex> lock(alive->mutex);
          if (!alive->alive) return;
          Readiness answer = readiness();
          asio::post(context_, [weak, answer = std::move(answer)] {
            const std::shared_ptr<Probe> probe = weak.lock();
            if (probe == nullptr) return;
            auto done = std::exchange(probe->done, nullptr);
            probe->timer.cancel();
            if (done) done(answer);
          });
        });
  }

  struct Alive {
    std::mutex mutex;
    bool alive = true;
  };

  Loop* loop_;
  const HttpOptions options_;
  const Sources sources_;
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();
  std::set<Session*> sessions_;  // Before context_, whose end is the end of those that are open.
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  asio::steady_timer accept_again_{context_};
  std::thread thread_;

  friend class HttpServer;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(Loop* loop, HttpOptions options,
                                                              Sources sources) {
  auto impl = std::make_unique<Impl>(loop, std::move(options), std::move(sources));
  if (absl::Status bound = impl->Bind(); !bound.ok()) return bound;
  impl->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->port(); }

}  // namespace annulus
