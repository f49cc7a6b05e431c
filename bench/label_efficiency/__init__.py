"""How many labels each selector needs: Tilth's own table, on real data, with paired tests."""
