// SPDX-License-Identifier: Apache-2.0
//
// The sending side for C: thin, MigrationSource does the work.
#include "tern/source.h"

#include "migration/capi/error.h"
#include "migration/capi/machine.h"
#include "migration/capi/settings.h"
#include "migration/capi/stats.h"
#include "migration/capi/text.h"
#include "migration/qmp/address_arg.h"
#include "tern/c/migration.h"

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

struct tern_source {
  std::shared_ptr<MachineParts> machine;  // outlives the engine
  std::unique_ptr<MigrationSource> engine;
};

int tern_source_create(tern_machine* machine, const tern_settings* settings, tern_source** out,
                       tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}, {"out", out}}));
    auto engine =
        TERN_TRY(MigrationSource::create(machine->parts->machine(), settings_of(settings)));
    *out = new tern_source{machine->parts, std::move(engine)};
    return {};
  });
}

void tern_source_free(tern_source* source) noexcept { delete source; }

int tern_source_start(tern_source* source, const char* address, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}, {"address", address}}));
    return source->engine->start(TERN_TRY(qmp::address_from_text(address)));
  });
}

int tern_source_continue_from(tern_source* source, int paused_at, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}}));
    if (paused_at < 0 || paused_at >= kStatusCount) {
      return Error(ErrorCode::invalid_argument,
                   "no status has number " + std::to_string(paused_at));
    }
    return source->engine->continue_from(static_cast<Status>(paused_at));
  });
}

int tern_source_cancel(tern_source* source, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}}));
    return source->engine->cancel();
  });
}

int tern_source_yank(tern_source* source, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}}));
    source->engine->yank();
    return {};
  });
}

int tern_source_update(tern_source* source, const tern_settings* settings,
                       tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}, {"settings", settings}}));
    source->engine->update(settings->value);
    return {};
  });
}

int tern_source_stats(const tern_source* source, tern_stats** out, tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}, {"out", out}}));
    *out = new tern_stats{source->engine->stats()};
    return {};
  });
}

int tern_source_threads(const tern_source* source, tern_threads** out,
                        tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}, {"out", out}}));
    *out = new tern_threads{source->engine->threads()};
    return {};
  });
}

int tern_source_wait(tern_source* source, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"source", source}}));
    source->engine->wait();
    return {};
  });
}
