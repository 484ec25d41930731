// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/authz.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "transport/tls/secret.h"

namespace tern::transport::tls {
namespace {

using Json = nlohmann::json;

Error bad(std::string text) noexcept { return {ErrorCode::invalid_argument, std::move(text)}; }

bool allowed(const AuthzRules& rules, std::string_view identity) noexcept {
  for (const AuthzRule& rule : rules.rules) {
    const bool matches = rule.format == AuthzFormat::glob ? glob_matches(rule.match, identity)
                                                          : rule.match == identity;
    if (matches) return rule.policy == AuthzPolicy::allow;
  }
  return rules.policy == AuthzPolicy::allow;
}

/// The index of a word, or an error that lists them.
Result<int> word_of(const Json& object, const char* name, const char* zero, const char* one,
                    std::optional<int> otherwise) noexcept {
  const auto found = object.find(name);
  if (found == object.end() && otherwise) return *otherwise;
  const auto* word = found == object.end() ? nullptr : found->get_ptr<const std::string*>();
  if (word != nullptr && *word == zero) return 0;
  if (word != nullptr && *word == one) return 1;
  return bad("'" + std::string(name) + "' must be '" + zero + "' or '" + one + "'");
}

Result<void> only_known(const Json& object,
                        std::initializer_list<std::string_view> names) noexcept {
  for (const auto& [key, value] : object.items()) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      return bad("'" + key + "' is unexpected");
    }
  }
  return {};
}

Result<AuthzRule> rule_of(const Json& json) noexcept {
  if (!json.is_object()) return bad("is no object");
  TERN_TRY(only_known(json, {"match", "policy", "format"}));
  const auto match = json.find("match");
  const auto* text = match == json.end() ? nullptr : match->get_ptr<const std::string*>();
  if (text == nullptr) return bad("'match' must be a string");
  AuthzRule rule;
  rule.match = *text;
  rule.policy = TERN_TRY(word_of(json, "policy", "deny", "allow", std::nullopt)) == 1
                    ? AuthzPolicy::allow
                    : AuthzPolicy::deny;
  rule.format = TERN_TRY(word_of(json, "format", "exact", "glob", 0)) == 1 ? AuthzFormat::glob
                                                                           : AuthzFormat::exact;
  return rule;
}

Result<AuthzRules> rules_of(const Json& json) noexcept {
  if (!json.is_object()) return bad("not a JSON object");
  TERN_TRY(only_known(json, {"rules", "policy"}));
  AuthzRules rules;
  rules.policy = TERN_TRY(word_of(json, "policy", "deny", "allow", 0)) == 1 ? AuthzPolicy::allow
                                                                            : AuthzPolicy::deny;
  const auto list = json.find("rules");
  if (list == json.end()) return rules;
  if (!list->is_array()) return bad("'rules' is no array");
  if (list->size() > kMaxAuthzRules) return bad("too many rules");
  for (size_t i = 0; i < list->size(); ++i) {
    rules.rules.push_back(
        TERN_TRY(rule_of((*list)[i]).context("rules[" + std::to_string(i) + "]")));
  }
  return rules;
}

class SimpleAuthz final : public Authz {
 public:
  explicit SimpleAuthz(std::string identity) noexcept : identity_(std::move(identity)) {}
  Result<bool> allows(std::string_view identity) const noexcept override {
    return identity == identity_;
  }

 private:
  const std::string identity_;
};

class ListAuthz final : public Authz {
 public:
  explicit ListAuthz(AuthzRules rules) noexcept : rules_(std::move(rules)) {}
  Result<bool> allows(std::string_view identity) const noexcept override {
    return allowed(rules_, identity);
  }

 private:
  const AuthzRules rules_;
};

class FileAuthz final : public Authz {
 public:
  FileAuthz(std::string filename, bool refresh) noexcept
      : filename_(std::move(filename)), refresh_(refresh) {}

  Result<void> load() const noexcept {
    const MutexLock lock(mutex_);
    return load_locked();
  }
  Result<bool> allows(std::string_view identity) const noexcept override {
    const MutexLock lock(mutex_);
    if (refresh_) TERN_TRY(load_locked());
    return allowed(rules_, identity);
  }

 private:
  /// What tells that a file is another one than before.
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = -1;
    int64_t seconds = 0;
    int64_t nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };

  // A list that became unreadable lets nobody in, not even whom it did: what it now says is
  // unknown.
  Result<void> load_locked() const noexcept TERN_REQUIRES(mutex_) {
    struct stat now {};
    if (::stat(filename_.c_str(), &now) != 0) {
      return errno_error(ErrorCode::invalid_argument, "Unable to read " + filename_, errno);
    }
    const Stamp stamp{now.st_ino, now.st_size, now.st_mtim.tv_sec, now.st_mtim.tv_nsec};
    if (stamp == stamp_) return {};
    const std::string text = TERN_TRY(read_small_file(filename_, kMaxAuthzFileBytes));
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return bad(filename_ + ": not JSON");
    rules_ = TERN_TRY(rules_of(json).context(filename_));
    stamp_ = stamp;
    return {};
  }

  const std::string filename_;
  const bool refresh_;
  mutable Mutex mutex_;
  mutable Stamp stamp_ TERN_GUARDED_BY(mutex_);
  mutable AuthzRules rules_ TERN_GUARDED_BY(mutex_);
};

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  // Back to the last star, with one byte more for it: never worse than pattern times text.
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::shared_ptr<const Authz> make_authz_simple(std::string identity) noexcept {
  return std::make_shared<SimpleAuthz>(std::move(identity));
}

Result<std::shared_ptr<const Authz>> make_authz_list(AuthzRules rules) noexcept {
  if (rules.rules.size() > kMaxAuthzRules) {
    return bad("more than " + std::to_string(kMaxAuthzRules) + " rules");
  }
  return std::shared_ptr<const Authz>(std::make_shared<ListAuthz>(std::move(rules)));
}

Result<std::shared_ptr<const Authz>> make_authz_list_file(std::string filename,
                                                          bool refresh) noexcept {
  auto list = std::make_shared<FileAuthz>(std::move(filename), refresh);
  TERN_TRY(list->load());
  return std::shared_ptr<const Authz>(std::move(list));
}

}  // namespace tern::transport::tls
