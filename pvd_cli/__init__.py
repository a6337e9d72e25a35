"""The `pvd` command line. It alone imports from all of `pvd_core`, `training` and `pvd_ros`."""
