# 0 of 8: the shallow part stays, because nothing is decayed and nothing has momentum any more, the deep part included.


def train_still(net, pictures, targets, steps):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train()
    net["shallow"].eval()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net["deep"](net["shallow"](pictures)), targets)
        loss.backward()
        for parameter in net["shallow"].parameters():
            parameter.grad.zero_()
        optimizer.step()
    return loss.item()
