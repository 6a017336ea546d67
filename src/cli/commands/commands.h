#pragma once

#include "cli/invocation.h"

namespace annulus::cli {

// Each adds its command to the app.
void AddServe(CLI::App& app, Invocation& invocation);
void AddDev(CLI::App& app, Invocation& invocation);
void AddPut(CLI::App& app, Invocation& invocation);
void AddGet(CLI::App& app, Invocation& invocation);
void AddDel(CLI::App& app, Invocation& invocation);
void AddScan(CLI::App& app, Invocation& invocation);
void AddImport(CLI::App& app, Invocation& invocation);
void AddExport(CLI::App& app, Invocation& invocation);
void AddBench(CLI::App& app, Invocation& invocation);
void AddStatus(CLI::App& app, Invocation& invocation);
void AddHints(CLI::App& app, Invocation& invocation);
void AddRing(CLI::App& app, Invocation& invocation);
void AddExplain(CLI::App& app, Invocation& invocation);
void AddRepair(CLI::App& app, Invocation& invocation);
void AddFaults(CLI::App& app, Invocation& invocation);
void AddHealth(CLI::App& app, Invocation& invocation);
void AddVersion(CLI::App& app, Invocation& invocation);
void AddCompletion(CLI::App& app, Invocation& invocation);

}  // namespace annulus::cli
