#pragma once

#include <string>

namespace annulus {

// 16 random bytes: the name of one write.
std::string NewRequestId();

}  // namespace annulus
