"""Models behind the API of a provider, called by the rules of OpenAI: `/chat/completions` and `/embeddings`."""
