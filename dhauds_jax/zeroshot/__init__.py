"""Classification without training: prototypes, backgrounds and scorers over unit embeddings; arrays in, arrays out."""
