"""The native sparse engine: a C++ library without dependencies, called through its plain C interface. CPUs only."""
