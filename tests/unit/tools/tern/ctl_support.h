// SPDX-License-Identifier: Apache-2.0
//
// For the tests of `tern ctl`: a small schema in the form servers send it, and a QMP server that
// says what the test tells it to say. Test-only.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tools/tern/ctl_schema.h"

namespace tern::tool::test {

inline const char* const kSchemaText = R"([
 {"name": "str", "meta-type": "builtin", "json-type": "string"},
 {"name": "int", "meta-type": "builtin", "json-type": "int"},
 {"name": "bool", "meta-type": "builtin", "json-type": "boolean"},
 {"name": "number", "meta-type": "builtin", "json-type": "number"},
 {"name": "null", "meta-type": "builtin", "json-type": "null"},
 {"name": "any", "meta-type": "builtin", "json-type": "value"},
 {"name": "0", "meta-type": "object", "members": []},
 {"name": "1", "meta-type": "enum", "members": [{"name": "none"}, {"name": "zlib"},
   {"name": "zstd", "features": ["unstable"]}], "values": ["none", "zlib", "zstd"]},
 {"name": "2", "meta-type": "enum", "values": ["xbzrle", "events", "return-path"]},
 {"name": "3", "meta-type": "object", "members": [{"name": "capability", "type": "2"},
   {"name": "state", "type": "bool"}]},
 {"name": "[3]", "meta-type": "array", "element-type": "3"},
 {"name": "[str]", "meta-type": "array", "element-type": "str"},
 {"name": "[int]", "meta-type": "array", "element-type": "int"},
 {"name": "4", "meta-type": "object", "members": [{"name": "capabilities", "type": "[3]"}]},
 {"name": "5", "meta-type": "alternate", "members": [{"type": "str"}, {"type": "null"}]},
 {"name": "6", "meta-type": "object", "members": [
   {"name": "max-bandwidth", "type": "int", "default": null},
   {"name": "share", "type": "number", "default": null},
   {"name": "tls-creds", "type": "5", "default": null},
   {"name": "multifd-compression", "type": "1", "default": null},
   {"name": "names", "type": "[str]", "default": null},
   {"name": "counts", "type": "[int]", "default": null},
   {"name": "block-incremental", "type": "bool", "default": null, "features": ["deprecated"]}]},
 {"name": "7", "meta-type": "object", "members": [{"name": "uri", "type": "str"},
   {"name": "detach", "type": "bool", "default": null}]},
 {"name": "8", "meta-type": "enum", "members": [{"name": "file"}, {"name": "raw"}]},
 {"name": "9", "meta-type": "object", "members": [{"name": "driver", "type": "8"},
   {"name": "cache", "type": "12", "default": null}],
   "tag": "driver", "variants": [{"case": "file", "type": "10"}, {"case": "raw", "type": "11"}]},
 {"name": "10", "meta-type": "object", "members": [{"name": "filename", "type": "str"}]},
 {"name": "11", "meta-type": "object", "members": [{"name": "file", "type": "13"}]},
 {"name": "12", "meta-type": "object", "members": [
   {"name": "direct", "type": "bool", "default": null}, {"name": "no.flush", "type": "bool",
   "default": null}]},
 {"name": "13", "meta-type": "alternate", "members": [{"type": "9"}, {"type": "str"}]},
 {"name": "14", "meta-type": "object", "members": [{"name": "driver", "type": "str"}]},
 {"name": "15", "meta-type": "object", "members": [{"name": "status", "type": "1"}]},
 {"name": "16", "meta-type": "object", "members": [{"name": "items", "type": "[3]"},
   {"name": "extra", "type": "any", "default": null}, {"name": "later", "type": "gone",
   "default": null}]},
 {"name": "migrate", "meta-type": "command", "arg-type": "7", "ret-type": "0"},
 {"name": "migrate-set-capabilities", "meta-type": "command", "arg-type": "4", "ret-type": "0"},
 {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "6", "ret-type": "0"},
 {"name": "migrate-pause", "meta-type": "command", "arg-type": "0", "ret-type": "0",
   "allow-oob": true},
 {"name": "query-migrate", "meta-type": "command", "arg-type": "0", "ret-type": "15"},
 {"name": "blockdev-add", "meta-type": "command", "arg-type": "9", "ret-type": "0"},
 {"name": "put-list", "meta-type": "command", "arg-type": "16", "ret-type": "[3]"},
 {"name": "device_add", "meta-type": "command", "arg-type": "14", "ret-type": "0",
   "features": ["json-cli", "json-cli-hotplug"]},
 {"name": "MIGRATION", "meta-type": "event", "arg-type": "15"},
 {"name": "STOP", "meta-type": "event", "arg-type": "0"},
 {"name": "of-a-later-time", "meta-type": "riddle"}
])";

inline Schema small_schema() { return Schema::read(Json::parse(kSchemaText)).value(); }

/// Serves one client on a Unix socket, in a thread of its own.
class ScriptedServer {
 public:
  using Lines = std::vector<std::string>;
  /// What to send for a request; nullopt: close the connection.
  using Script = std::function<std::optional<Lines>(const Json& request)>;

  explicit ScriptedServer(Script script,
                          std::string greeting = R"({"QMP": {"capabilities": ["oob"]}})")
      : script_(std::move(script)), greeting_(std::move(greeting)) {
    char name[] = "/tmp/tern-ctl-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/qmp";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* plain = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    EXPECT_EQ(::bind(listener_.get(), plain, sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  const std::string& path() const { return path_; }
  /// The requests after qmp_capabilities.
  std::vector<Json> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  int descriptors() {
    std::lock_guard lock(mutex_);
    return descriptors_;
  }

 private:
  static void say(const Fd& to, const std::string& line) {
    const std::string text = line + "\n";
    // The client may have gone; then nobody hears it.
    [[maybe_unused]] const auto n = ::send(to.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  bool receive(const Fd& from, std::string& text) {
    std::array<char, 4096> bytes{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec slice{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &slice;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = ::recvmsg(from.get(), &message, MSG_CMSG_CLOEXEC);
    if (n <= 0) return false;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      const Fd owned(fd);
      std::lock_guard lock(mutex_);
      ++descriptors_;
    }
    text.append(bytes.data(), static_cast<size_t>(n));
    return true;
  }

  bool answer(const Fd& client, const Json& request) {
    if (request.value("execute", "") == "qmp_capabilities") {
      say(client, R"({"return": {}})");
      return true;
    }
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const auto lines = script_(request);
    if (!lines) return false;
    for (const std::string& line : *lines) say(client, line);
    return true;
  }

  void serve() {
    const Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) return;
    say(client, greeting_);
    std::string text;
    while (receive(client, text)) {
      for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
        const Json request = Json::parse(text.substr(0, end));
        text.erase(0, end + 1);
        if (!answer(client, request)) return;
      }
    }
  }

  Script script_;
  std::string greeting_;
  std::string directory_;
  std::string path_;
  Fd listener_;
  std::mutex mutex_;
  std::vector<Json> requests_;
  int descriptors_ = 0;
  std::thread thread_;
};

/// A stream to write to, and what was written.
class Capture {
 public:
  Capture() : file_(std::tmpfile()) {}
  ~Capture() { std::fclose(file_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  std::FILE* file() { return file_; }
  std::string text() {
    std::fflush(file_);
    std::rewind(file_);
    std::string out;
    std::array<char, 4096> bytes{};
    while (const size_t n = std::fread(bytes.data(), 1, bytes.size(), file_)) {
      out.append(bytes.data(), n);
    }
    return out;
  }

 private:
  std::FILE* file_;
};

}  // namespace tern::tool::test
