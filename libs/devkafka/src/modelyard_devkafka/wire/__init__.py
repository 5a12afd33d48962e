"""The Kafka protocol as data: message definitions and the codec made from them."""
