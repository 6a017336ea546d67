#include "bin/serve.h"
#include "cli/cli.h"

int main(int argc, char** argv) { return annulus::cli::Main(argc, argv, annulus::Serve); }
