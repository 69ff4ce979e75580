"""The garbage collector (pkg/controller/garbagecollector): what is left of objects whose owners are gone."""
