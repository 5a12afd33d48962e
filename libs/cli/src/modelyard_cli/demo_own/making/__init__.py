"""Make the models of the demo and write them as their authors would. Runs in a process of its own."""
