"""How nothing is lost or doubled: the only place that leans on internals of Faust and aiokafka."""
