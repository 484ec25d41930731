// SPDX-License-Identifier: Apache-2.0
#include "migration/capi/objects.h"

#include <utility>

#include "migration/capi/error.h"
#include "migration/capi/text.h"

using namespace tern;        // NOLINT(google-build-using-namespace): the functions below are C's
using namespace tern::capi;  // NOLINT(google-build-using-namespace)

tern_object_store* tern_object_store_new(void) noexcept {
  return new tern_object_store{std::make_shared<ObjectStore>()};
}

void tern_object_store_free(tern_object_store* store) noexcept { delete store; }

int tern_object_store_add(tern_object_store* store, const char* text, tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"store", store}, {"text", text}}));
    return store->store->add_text(text);
  });
}

int tern_object_store_remove(tern_object_store* store, const char* id,
                             tern_error** error) noexcept {
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"store", store}, {"id", id}}));
    return store->store->remove(id);
  });
}

int tern_object_store_ids(const tern_object_store* store, tern_strings** out,
                          tern_error** error) noexcept {
  if (out != nullptr) *out = nullptr;
  return answer_of(error, [&]() -> Result<void> {
    TERN_TRY(need({{"store", store}, {"out", out}}));
    auto ids = std::make_unique<tern_strings>();
    for (ObjectInfo& object : store->store->list()) ids->texts.push_back(std::move(object.id));
    *out = ids.release();
    return {};
  });
}
