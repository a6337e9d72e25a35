"""The `pvd` command line: the one place that knows `pvd_core`, `training` and `pvd_ros` together."""
