// SPDX-License-Identifier: Apache-2.0
#include "base/thread_name.h"

#include <pthread.h>

namespace tern {

std::string name_this_thread(std::string_view prefix, std::string_view name) noexcept {
  std::string text = (std::string(prefix) + std::string(name)).substr(0, 15);
  pthread_setname_np(pthread_self(), text.c_str());  // fails only for longer names
  return text;
}

}  // namespace tern
