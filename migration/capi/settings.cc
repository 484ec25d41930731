// SPDX-License-Identifier: Apache-2.0
//
// Settings by name, and their catalog. Everything here comes from the tables behind tern/catalog.h.
#include "migration/capi/settings.h"

#include <span>
#include <string>
#include <string_view>

#include "migration/capi/error.h"
#include "migration/capi/sized.h"
#include "migration/capi/text.h"
#include "tern/catalog.h"

namespace tern::capi {
namespace {

static_assert(static_cast<int>(SettingType::string) == TERN_SETTING_STRING);
static_assert(static_cast<int>(SettingType::size) == TERN_SETTING_SIZE);
static_assert(static_cast<int>(ActsOn::both) == TERN_ACTS_ON_BOTH);

// The texts of the catalog are literals, and so end with NUL.
const char* nth(std::span<const std::string_view> texts, size_t n) noexcept {
  return n < texts.size() ? texts[n].data() : nullptr;
}

const char* text(std::string_view of_catalog) noexcept {
  return of_catalog.empty() ? "" : of_catalog.data();
}

tern_setting_info info_of(const SettingInfo& s) noexcept {
  return {
      .size = sizeof(tern_setting_info),
      .name = text(s.name),
      .unit = text(s.unit),
      .since = text(s.since),
      .help = text(s.help),
      .not_below = text(s.not_below),
      .min = s.min,
      .max = s.max,
      .word_count = s.words.size(),
      .needs_count = s.needs.size(),
      .excludes_count = s.excludes.size(),
      .type = static_cast<int32_t>(s.type),
      .acts_on = static_cast<int32_t>(s.acts_on),
      .capability = s.capability,
      .qmp_only = s.qmp_only,
      .unstable = s.unstable,
      .deprecated = s.deprecated,
      .live = s.live,
      .before_listening = s.before_listening,
  };
}

const SettingInfo* at(size_t index) noexcept {
  const auto all = settings_catalog();
  return index < all.size() ? &all[index] : nullptr;
}

}  // namespace
}  // namespace tern::capi

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

tern_settings* tern_settings_new() noexcept { return new tern_settings{}; }
tern_settings* tern_settings_new_qmp() noexcept { return new tern_settings{qmp_settings()}; }
tern_settings* tern_settings_copy(const tern_settings* settings) noexcept {
  return new tern_settings{settings_of(settings)};
}
void tern_settings_free(tern_settings* settings) noexcept { delete settings; }

int tern_settings_set(tern_settings* settings, const char* name, const char* value,
                      tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"settings", settings}, {"name", name}, {"value", value}}));
    return set_by_name(settings->value, name, value);
  });
}

int tern_settings_get(const tern_settings* settings, const char* name, char** value,
                      tern_error** error) noexcept {
  if (value != nullptr) *value = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"settings", settings}, {"name", name}, {"value", value}}));
    return give_text(value, TERN_TRY(get_by_name(settings->value, name)));
  });
}

int tern_settings_check(const tern_settings* settings, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"settings", settings}}));
    return check_settings(settings->value);
  });
}

size_t tern_setting_count() noexcept { return settings_catalog().size(); }

int tern_setting_at(size_t index, tern_setting_info* info, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    const SettingInfo* setting = at(index);
    if (setting == nullptr) {
      return Error(ErrorCode::invalid_argument, "no setting has index " + std::to_string(index));
    }
    return write_sized(info_of(*setting), info, "info");
  });
}

int tern_setting_find(const char* name, size_t* index, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"name", name}, {"index", index}}));
    const SettingInfo* setting = find_setting(name);
    if (setting == nullptr) {
      return Error(ErrorCode::invalid_argument,
                   "no setting '" + std::string(name).substr(0, 64) + "'");
    }
    *index = static_cast<size_t>(setting - settings_catalog().data());
    return {};
  });
}

const char* tern_setting_word(size_t index, size_t n) noexcept {
  return at(index) != nullptr ? nth(at(index)->words, n) : nullptr;
}
const char* tern_setting_needs(size_t index, size_t n) noexcept {
  return at(index) != nullptr ? nth(at(index)->needs, n) : nullptr;
}
const char* tern_setting_excludes(size_t index, size_t n) noexcept {
  return at(index) != nullptr ? nth(at(index)->excludes, n) : nullptr;
}
const char* tern_setting_type_name(int type) noexcept {
  return word_of<SettingType>(type, TERN_SETTING_STRING + 1);
}
const char* tern_acts_on_name(int side) noexcept {
  return word_of<ActsOn>(side, TERN_ACTS_ON_BOTH + 1);
}

const char* tern_peer_version_of_machine(const char* machine) noexcept {
  if (machine == nullptr) return nullptr;
  const auto version = peer_version_of_machine(machine);
  return version ? to_string(*version).data() : nullptr;
}
