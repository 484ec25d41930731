// SPDX-License-Identifier: Apache-2.0
#include "base/thread_name.h"

#include <pthread.h>

namespace tern {

void name_this_thread(std::string_view prefix, std::string_view name) noexcept {
  const std::string text = (std::string(prefix) + std::string(name)).substr(0, 15);
  pthread_setname_np(pthread_self(), text.c_str());  // fails only for longer names
}

}  // namespace tern
