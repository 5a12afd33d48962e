-- One database per service; no service reads another's tables.
CREATE DATABASE registry;
CREATE DATABASE trainer;
CREATE DATABASE evaluator;
CREATE DATABASE deployer;
