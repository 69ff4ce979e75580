"""The Job controller (pkg/controller/job), for plain Jobs: no indexes, no policies for failures and success."""
