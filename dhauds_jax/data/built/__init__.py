"""Sets that are cut or drawn from a raw corpus, once: clips and tables in a folder, from which `data.sets` reads."""
