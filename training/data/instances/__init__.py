"""Objects of hard classes cut out of every scan by their instance ids, and put onto later scans (M2SKD, spec 6.2)."""
