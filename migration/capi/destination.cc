// SPDX-License-Identifier: Apache-2.0
//
// The receiving side for C: thin, MigrationDestination does the work.
#include "tern/destination.h"

#include "migration/capi/error.h"
#include "migration/capi/machine.h"
#include "migration/capi/settings.h"
#include "migration/capi/stats.h"
#include "migration/capi/text.h"
#include "migration/qmp/address_arg.h"
#include "tern/c/migration.h"

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

struct tern_destination {
  std::shared_ptr<MachineParts> machine;  // outlives the engine
  std::unique_ptr<MigrationDestination> engine;
};

int tern_destination_create(tern_machine* machine, const tern_settings* settings,
                            tern_destination** out, tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"machine", machine}, {"out", out}}));
    auto engine =
        TERN_TRY(MigrationDestination::create(machine->parts->machine(), settings_of(settings)));
    *out = new tern_destination{machine->parts, std::move(engine)};
    return {};
  });
}

void tern_destination_free(tern_destination* destination) noexcept { delete destination; }

int tern_destination_listen(tern_destination* destination, const char* address,
                            tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}, {"address", address}}));
    return destination->engine->listen(TERN_TRY(qmp::address_from_text(address)));
  });
}

int tern_destination_listening(const tern_destination* destination, tern_strings** out,
                               tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}, {"out", out}}));
    auto uris = std::make_unique<tern_strings>();
    const std::vector<Address> bound = destination->engine->listening();
    for (const Address& address : bound) uris->texts.push_back(to_uri(address));
    *out = uris.release();
    return {};
  });
}

int tern_destination_set_autostart(tern_destination* destination, int on,
                                   tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}}));
    destination->engine->set_autostart(on != 0);
    return {};
  });
}

int tern_destination_update(tern_destination* destination, const tern_settings* settings,
                            tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}, {"settings", settings}}));
    destination->engine->update(settings_of(settings));
    return {};
  });
}

int tern_destination_hold_switchover(tern_destination* destination, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}}));
    destination->engine->hold_switchover();
    return {};
  });
}

int tern_destination_release_switchover(tern_destination* destination,
                                        tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}}));
    destination->engine->release_switchover();
    return {};
  });
}

int tern_destination_yank(tern_destination* destination, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}}));
    destination->engine->yank();
    return {};
  });
}

int tern_destination_stats(const tern_destination* destination, tern_stats** out,
                           tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}, {"out", out}}));
    *out = new tern_stats{destination->engine->stats()};
    return {};
  });
}

int tern_destination_threads(const tern_destination* destination, tern_threads** out,
                             tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}, {"out", out}}));
    *out = new tern_threads{destination->engine->threads()};
    return {};
  });
}

int tern_destination_wait(tern_destination* destination, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"destination", destination}}));
    destination->engine->wait();
    return {};
  });
}
