// SPDX-License-Identifier: Apache-2.0
//
// All of tern's C++ API.
#pragma once

#include "tern/address.h"
#include "tern/announce.h"
#include "tern/catalog.h"
#include "tern/clock.h"
#include "tern/destination.h"
#include "tern/device_section.h"
#include "tern/dirty_bitmap.h"
#include "tern/dirty_harvester.h"
#include "tern/dirty_limit.h"
#include "tern/dirty_tracker.h"
#include "tern/events.h"
#include "tern/log.h"
#include "tern/machine.h"
#include "tern/objects.h"
#include "tern/qmp.h"
#include "tern/ram_block.h"
#include "tern/result.h"
#include "tern/settings.h"
#include "tern/source.h"
#include "tern/stats.h"
#include "tern/thread_info.h"
#include "tern/unplug.h"
#include "tern/vcpu_control.h"
#include "tern/version.h"
