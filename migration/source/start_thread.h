// SPDX-License-Identifier: Apache-2.0
//
// Starts a thread, with the lack of one as an error: it must not end the process and the guest in
// it.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tern/result.h"

namespace tern {

/// `Thread` is std::thread or std::jthread. Errors: resource_exhausted.
template <typename Thread = std::thread, typename Body>
Result<Thread> start_thread(Body&& body) noexcept {
  try {
    return Thread(std::forward<Body>(body));
  } catch (const std::system_error& why) {
    return Error(ErrorCode::resource_exhausted,
                 "cannot start a thread: " + std::string(why.what()));
  }
}

}  // namespace tern
