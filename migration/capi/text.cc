// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/text.h"

#include <cstdlib>
#include <cstring>

#include "migration/capi/error.h"
#include "migration/qmp/address_arg.h"
#include "tern/clock.h"
#include "tern/events.h"
#include "tern/log.h"
#include "tern/stats.h"
#include "tern/vcpu_control.h"
#include "tern/version.h"

namespace tern::capi {
namespace {

constexpr int kRunStates = TERN_RUN_STATE_COLO + 1;
constexpr int kEndings = TERN_ENDING_NOT_TAKEN + 1;
constexpr int kLogLevels = TERN_LOG_ERROR + 1;
static_assert(static_cast<int>(RunState::colo) == TERN_RUN_STATE_COLO);
static_assert(static_cast<int>(RunState::running) == TERN_RUN_STATE_RUNNING);
static_assert(TERN_STATUS_COMPLETED + 1 == kStatusCount);
static_assert(static_cast<int>(Status::completed) == TERN_STATUS_COMPLETED);
static_assert(static_cast<int>(Ending::not_taken) == TERN_ENDING_NOT_TAKEN);
static_assert(static_cast<int>(LogLevel::error) == TERN_LOG_ERROR);

template <typename T>
Result<void> number_of(const char* name, int count, const char* what, int* out) noexcept {
  TERN_TRY(need({{"name", name}, {what, out}}));
  for (int i = 0; i < count; ++i) {
    if (std::strcmp(word_of<T>(i, count), name) != 0) continue;
    *out = i;
    return {};
  }
  return Error(ErrorCode::invalid_argument,
               "no " + std::string(what) + " '" + std::string(name).substr(0, 64) + "'");
}

}  // namespace

Result<void> give_text(char** out, std::string_view text) noexcept {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return Error(ErrorCode::resource_exhausted, "no memory for a text");
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  *out = copy;
  return {};
}

}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

const char* tern_version_string() noexcept { return TERN_VERSION_STRING; }

void tern_version(uint32_t* major, uint32_t* minor, uint32_t* micro) noexcept {
  if (major != nullptr) *major = TERN_VERSION_MAJOR;
  if (minor != nullptr) *minor = TERN_VERSION_MINOR;
  if (micro != nullptr) *micro = TERN_VERSION_MICRO;
}

void tern_free_string(char* text) noexcept { std::free(text); }

size_t tern_strings_count(const tern_strings* strings) noexcept {
  return strings != nullptr ? strings->texts.size() : 0;
}
const char* tern_strings_at(const tern_strings* strings, size_t index) noexcept {
  return index < tern_strings_count(strings) ? strings->texts[index].c_str() : nullptr;
}
void tern_strings_free(tern_strings* strings) noexcept { delete strings; }

size_t tern_threads_count(const tern_threads* threads) noexcept {
  return threads != nullptr ? threads->threads.size() : 0;
}
const char* tern_threads_name(const tern_threads* threads, size_t index) noexcept {
  return index < tern_threads_count(threads) ? threads->threads[index].name.c_str() : nullptr;
}
int tern_threads_id(const tern_threads* threads, size_t index) noexcept {
  return index < tern_threads_count(threads) ? threads->threads[index].thread_id : 0;
}
void tern_threads_free(tern_threads* threads) noexcept { delete threads; }

const char* tern_run_state_name(int state) noexcept { return word_of<RunState>(state, kRunStates); }
const char* tern_status_name(int status) noexcept { return word_of<Status>(status, kStatusCount); }
const char* tern_ending_name(int ending) noexcept { return word_of<Ending>(ending, kEndings); }
const char* tern_log_level_name(int level) noexcept { return word_of<LogLevel>(level, kLogLevels); }

int tern_run_state_from(const char* name, int* state, tern_error** error) noexcept {
  return answer(error, number_of<RunState>(name, kRunStates, "state", state));
}
int tern_status_from(const char* name, int* status, tern_error** error) noexcept {
  return answer(error, number_of<Status>(name, kStatusCount, "status", status));
}
int tern_ending_from(const char* name, int* ending, tern_error** error) noexcept {
  return answer(error, number_of<Ending>(name, kEndings, "ending", ending));
}

int tern_address_to_uri(const char* address, char** uri, tern_error** error) noexcept {
  if (uri != nullptr) *uri = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"address", address}}));
    const Address parsed = TERN_TRY(qmp::address_from_text(address));
    if (uri == nullptr) return {};
    return give_text(uri, to_uri(parsed));
  });
}

int64_t tern_clock_now() noexcept { return system_clock().now().count(); }
int64_t tern_clock_wall() noexcept { return system_clock().wall().count(); }
