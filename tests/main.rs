mod power_cut;
