"""What the pages share: where the reader is, what runs say, how it is shown. All knowledge comes from `cotlab`."""
